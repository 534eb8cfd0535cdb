"""`qmig flower`: run Flower for a fleet, with a page for its migrations."""

import click

from qmig.cli.global_options import global_options, skips_tls_verification
from qmig.cli.options import option, optional_target_options, required_broker_option


@click.command()
@required_broker_option
@optional_target_options
@option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Port to listen on.")
@option("--address", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@option(
    "--basic-auth",
    "basic_auth",
    multiple=True,
    metavar="USER:PASSWORD",
    help="Require this user and password; may be given more than once. Other users of this host can see options, so "
    "$FLOWER_BASIC_AUTH is safer: USER:PASSWORD, several with commas between them.",
)
@option(
    "--insecure",
    is_flag=True,
    help="Allow an address other than loopback without authentication. Whoever reaches it sees everything.",
)
@global_options
def flower(
    broker_url: str,
    target_url: str | None,
    target_ca_cert: str | None,
    target_api_key: str | None,
    ledger: str,
    port: int,
    address: str,
    basic_auth: tuple[str, ...],
    insecure: bool,
) -> None:
    """Run Flower for a fleet, on http://127.0.0.1:5555 by default.

    Flower shows each chunk as a task, with its points, percentage and points per second. With --target-url, the page
    Migrations shows the migrations of the ledger live. With authentication, they can be paused, resumed, throttled
    and cancelled there. Flower's own settings, such as OAuth and TLS, come from its $FLOWER_… variables or from
    flowerconfig.py.

    \b
    Example:
      qmig flower --broker-url redis://10.0.0.1:6379/0 --target-url http://b:6334
    """
    from qmig.broker.fleet import Fleet
    from qmig.cli.fleet import check
    from qmig.migration import Endpoint
    from qmig.monitor.flower.feed import Feed
    from qmig.monitor.flower.process import run_flower

    feed = None
    if target_url:
        endpoint = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
        feed = Feed(endpoint, target_api_key, ledger, skips_tls_verification(target=endpoint))
    with Fleet(broker_url) as fleet:
        check(fleet, waits=True)
    run_flower(feed, address, port, basic_auth, insecure)
