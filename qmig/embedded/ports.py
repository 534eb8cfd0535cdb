"""Ports for servers that have to be told theirs."""

import random
import socket

# Below the ports that systems lend to outgoing connections: none of those takes it before the server does.
PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port of loopback at which nothing listens."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
