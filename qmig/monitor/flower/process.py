"""Flower's process: its settings, and who may reach it."""

import ipaddress
from collections.abc import Sequence

from flower.command import apply_env_options, apply_options
from tornado.options import options

from qmig.errors import UsageError
from qmig.monitor.flower.extension import install
from qmig.monitor.flower.feed import Feed

# By default Flower's list leaves out what tells one chunk from another.
COLUMNS = "name,state,args,kwargs,result,started,runtime,worker"


def run_flower(feed: Feed | None, address: str, port: int, basic_auth: Sequence[str], insecure: bool) -> None:
    """Run Flower until it is told to stop; UsageError where it must not or cannot listen there."""
    arguments = [f"--address={address}", f"--port={port}", f"--tasks_columns={COLUMNS}"]
    if basic_auth:
        _check_basic_auth(basic_auth, "--basic-auth")
        arguments.append(f"--basic_auth={','.join(basic_auth)}")
    # As Flower is going to do: authentication may come from its variables or its file too.
    apply_env_options()
    apply_options("qmig flower", arguments)
    # An empty one would let in everybody who sends nothing.
    _check_basic_auth(options.basic_auth or [], "$FLOWER_BASIC_AUTH")
    if not (_is_loopback(address) or options.basic_auth or options.auth or insecure):
        raise UsageError(
            f"--address {address or repr(address)} can be reached from elsewhere: give --basic-auth or set "
            "$FLOWER_BASIC_AUTH to user:password, or say --insecure"
        )
    from qmig.broker.app import app

    install(feed)
    try:
        app.start(["flower", *arguments])
    except OSError as error:
        raise UsageError(f"Flower cannot start on {address}, port {port}: {error.strerror or error}") from None


def _check_basic_auth(pairs: Sequence[str], where: str) -> None:
    for pair in pairs:
        user, colon, password = pair.partition(":")
        if not (user and colon and password) or "," in pair:
            # Without the value: it may be most of a password.
            raise UsageError(f"{where} takes user:password, without a comma in either")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
