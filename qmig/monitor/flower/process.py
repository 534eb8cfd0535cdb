"""Run Flower in this process, and refuse settings that would open it to everybody."""

import ipaddress
from collections.abc import Sequence

from flower.command import apply_env_options, apply_options
from tornado.options import options

from qmig.errors import UsageError
from qmig.monitor.flower.extension import install
from qmig.monitor.flower.feed import Feed

# Flower's own default leaves out the arguments, and they tell one chunk from another.
COLUMNS = "name,state,args,kwargs,result,started,runtime,worker"


def run_flower(feed: Feed | None, address: str, port: int, basic_auth: Sequence[str], insecure: bool) -> None:
    """Run Flower until it is stopped. UsageError where it must not, or cannot, listen on `address`."""
    arguments = [f"--address={address}", f"--port={port}", f"--tasks_columns={COLUMNS}"]
    if basic_auth:
        _check_basic_auth(basic_auth, "--basic-auth")
        arguments.append(f"--basic_auth={','.join(basic_auth)}")
    # Flower does the same when it starts: authentication may also come from its variables or its file.
    apply_env_options()
    apply_options("qmig flower", arguments)
    # An empty user and password would admit everybody.
    _check_basic_auth(options.basic_auth or [], "$FLOWER_BASIC_AUTH")
    if not (_is_loopback(address) or options.basic_auth or options.auth or insecure):
        raise UsageError(
            f"--address {address or repr(address)} can be reached from other hosts: give --basic-auth, or set "
            "$FLOWER_BASIC_AUTH to user:password, or give --insecure"
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
            # The message leaves out the value: it may hold a password.
            raise UsageError(f"{where} takes user:password; neither may be empty or have a comma")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
