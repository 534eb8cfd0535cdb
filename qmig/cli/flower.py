"""`qmig flower`: Flower for the fleet, with a page for its migrations."""

import click

from qmig.cli.global_options import global_options, skips_tls_verification
from qmig.cli.options import broker_option, option, optional_target_options


@click.command()
@broker_option
@optional_target_options
@option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Port to listen on.")
@option("--address", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@option(
    "--basic-auth",
    "basic_auth",
    multiple=True,
    metavar="USER:PASSWORD",
    help="Let in who gives this; may be given several times. Every user of this host can see an option: rather set "
    "$FLOWER_BASIC_AUTH, with commas between several.",
)
@option(
    "--insecure",
    is_flag=True,
    help="Listen on another address than loopback without authentication: whoever reaches it sees everything.",
)
@global_options
def flower(
    broker_url: str | None,
    target_url: str | None,
    target_ca_cert: str | None,
    target_api_key: str | None,
    ledger: str,
    port: int,
    address: str,
    basic_auth: tuple[str, ...],
    insecure: bool,
) -> None:
    """Start Flower for the fleet on http://127.0.0.1:5555.

    Each chunk is a task with readable arguments; while it runs its page shows points, % and points/s. With a target
    the page Migrations shows the migrations of its ledger live, and with authentication they can be paused,
    resumed, throttled and cancelled there. Flower's own settings, such as OAuth and TLS, come from its
    $FLOWER_… variables or flowerconfig.py.
    """
    if not broker_url:
        raise click.UsageError("no broker: give --broker-url or set $QMIG_BROKER_URL")
    from qmig.broker.fleet import Fleet
    from qmig.migration import Endpoint
    from qmig.monitor.flower.feed import Feed
    from qmig.monitor.flower.process import run_flower

    feed = None
    if target_url:
        endpoint = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
        feed = Feed(endpoint, target_api_key, ledger, skips_tls_verification(target=endpoint))
    Fleet(broker_url).check()
    run_flower(feed, address, port, basic_auth, insecure)
