"""Connections to servers that have just been started: new ones, at most as old as the server."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from qmig.embedded.child_process import ChildProcess
from tests.support.waiting import until

# Channels of one process to one address share a connection, and after a failed attempt they share the pause before
# the next one. With a pool of its own a channel connects at once.
OWN_CONNECTION: dict[str, Any] = {"grpc.use_local_subchannel_pool": 1}
ANSWER_SECONDS = 5.0
NO_ANSWER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def open_channel(url: str, options: Mapping[str, Any] | None = None, trusted: Path | None = None) -> grpc.Channel:
    """A channel with a connection of its own; `trusted` is the PEM file of the certificate that an https URL has."""
    scheme, _, address = url.partition("://")
    settings = [*{**OWN_CONNECTION, **(options or {})}.items()]
    if scheme == "http":
        return grpc.insecure_channel(address, settings)
    assert trusted is not None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(trusted.read_bytes()), settings)


def until_serving(url: str, *processes: ChildProcess) -> None:
    """Wait until the gRPC server at an http URL answers; every attempt is a new connection."""

    def answers() -> bool:
        with open_channel(url) as channel:
            check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
            try:
                check(b"", timeout=ANSWER_SECONDS)
            except grpc.RpcError as error:
                return error.code() not in NO_ANSWER
            return True

    until(answers, f"an answer at {url}", *processes)


def until_listening(port: int, *processes: ChildProcess) -> None:
    """Wait until connections to a port of loopback are accepted."""

    def accepts() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    until(accepts, f"a connection to port {port}", *processes)
