"""The command line. One file a command, loaded when it is called, so that `qmig --help` is quick."""

import errno
import os
import sys
from importlib import import_module

import click

from qmig.cli.global_options import global_options
from qmig.cli.source_command import source_command, summary
from qmig.errors import Interrupted, QmigError
from qmig.sources.registry import find_kind, kind_names

# Command → module and help; the commands of the kinds of sources are made from the registry.
COMMANDS = {
    "verify": ("qmig.cli.verify", "Compare a migration's contents at both ends."),
    "attach": ("qmig.cli.attach", "Show a migration live, from any host."),
    "list": ("qmig.cli.list_migrations", "List every migration in a ledger."),
    "status": ("qmig.cli.status", "Say where a migration stands, from the ledger alone."),
    "rejects": ("qmig.cli.rejects", "List the points that could not be copied."),
    "pause": ("qmig.cli.control", "Let a migration rest."),
    "resume": ("qmig.cli.control", "Go on with a paused migration."),
    "cancel": ("qmig.cli.control", "End a migration before its time."),
    "throttle": ("qmig.cli.control", "Limit a migration's points a second while it runs."),
    "worker": ("qmig.cli.worker", "Run workers on this host."),
    "workers": ("qmig.cli.workers", "List the workers of a fleet."),
    "flower": ("qmig.cli.flower", "Start Flower for the fleet."),
    "secret": ("qmig.cli.secret", "Print a new secret for a fleet."),
    "demo": ("qmig.cli.demo", "Migrate a small real collection on this machine."),
    "embedded": ("qmig.cli.embedded", "Run parts of the one-machine stack, to try qmig out and for tests."),
}


# A full disk, a quota, a terminal or a descriptor that is gone.
OUTPUT_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF)


class LazyGroup(click.Group):
    """Knows its commands by name and loads one when it is called."""

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

    `qmig COMMAND --help` explains a command.
    """


def main() -> None:
    """Run a command; an error is one line on stderr and a status, never a traceback."""
    # gRPC writes failed handshakes and the like to stderr by itself; they are errors of qmig's as well.
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
        if error.errno not in OUTPUT_LOST:
            raise
        click.echo(f"Error: the output cannot be written: {error.strerror}", err=True)
        # Not by way of the interpreter's end, which would write what is left once more.
        os._exit(1)
