"""`qmig flower`: Flower for the fleet."""

import click

from qmig.cli.options import broker_option, global_options, option


@click.command()
@broker_option
@option("--port", type=click.IntRange(1, 65535), default=5555, show_default=True, help="Port on loopback.")
@global_options
def flower(broker_url: str | None, port: int) -> None:
    """Start Flower for the fleet on http://127.0.0.1:PORT.

    Each chunk is a task with readable arguments; while it runs its page shows points, % and points/s.
    """
    if not broker_url:
        raise click.UsageError("no broker: give --broker-url or set $QMIG_BROKER_URL")
    from qmig.fleet import Fleet

    Fleet(broker_url).check()
    from workers import app

    click.echo(f"Flower listens on http://127.0.0.1:{port}")
    # By default Flower's list leaves out what tells one chunk from another.
    columns = "name,state,args,kwargs,result,started,runtime,worker"
    app.start(["flower", "--address=127.0.0.1", f"--port={port}", f"--tasks_columns={columns}"])
