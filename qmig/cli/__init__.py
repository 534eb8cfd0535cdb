"""The command line: one file per command, imported when the command is called, so that `qmig --help` is quick."""

import errno
import os
import sys
from importlib import import_module

import click

from qmig.cli.global_options import global_options
from qmig.cli.source_command import source_command, summary
from qmig.errors import Interrupted, QmigError
from qmig.sources.registry import find_kind, kind_names

# The module and the description of each command. Its function has the name of the command.
# The commands of the kinds of sources are made from the registry.
COMMANDS = {
    "verify": ("qmig.cli.verify", "Compare source and target of a migration, point by point."),
    "attach": ("qmig.cli.attach", "Show a migration live until it ends."),
    "list": ("qmig.cli.list_migrations", "List the migrations of a ledger."),
    "status": ("qmig.cli.status", "Show the status of a migration."),
    "rejects": ("qmig.cli.rejects", "List the points that could not be copied, with the reasons."),
    "pause": ("qmig.cli.control", "Pause a running migration."),
    "resume": ("qmig.cli.control", "Resume a paused migration."),
    "cancel": ("qmig.cli.control", "Cancel a migration."),
    "throttle": ("qmig.cli.control", "Limit the points per second that a migration copies."),
    "worker": ("qmig.cli.worker", "Run workers on this host."),
    "workers": ("qmig.cli.workers", "List the workers of a fleet."),
    "flower": ("qmig.cli.flower", "Run Flower for a fleet."),
    "secret": ("qmig.cli.secret", "Print a new secret for a fleet."),
    "demo": ("qmig.cli.demo", "Migrate a small real collection on this machine."),
    "embedded": ("qmig.cli.embedded", "Run a small Qdrant, to try qmig out and for tests."),
}

# Errors of a full disk, a used-up quota, a closed terminal and a closed descriptor.
OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


class LazyGroup(click.Group):
    """Lists the commands by name, and imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*kind_names(), *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            kind = find_kind(cmd_name)
            return source_command(kind) if kind is not None else None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            sources = [(name, summary(name)) for name in kind_names()]
            formatter.write_dl([*sources, *((name, text) for name, (_, text) in COMMANDS.items())])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@global_options
def qmig() -> None:
    """Move very large vector collections into Qdrant with a fleet of Celery workers.

    Run `qmig COMMAND --help` for the options of a command.

    \b
    Example:
      qmig qdrant --source-url http://a:6334 --source-collection products \\
        --target-url http://b:6334 --target-collection products -c
    """


def main() -> None:
    """Run a command. An error is one line on stderr and an exit status, never a traceback."""
    # gRPC writes failed handshakes and the like to stderr by itself; qmig reports them as errors of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        qmig(prog_name="qmig", standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except Interrupted as interrupted:
        click.echo(interrupted, err=True)
        sys.exit(interrupted.exit_status)
    except QmigError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)
    except OSError as error:
        if error.errno not in OUTPUT_ERRORS:
            raise
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        # A normal exit would try to write the rest of the output again.
        os._exit(1)
