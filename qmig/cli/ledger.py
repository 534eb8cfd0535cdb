"""Arguments of the commands that read a ledger, and the ledger opened for them."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qmig.cli.global_options import global_options, skips_tls_verification
from qmig.cli.options import option, target_options

if TYPE_CHECKING:
    from qmig.ledger.collection import Malformed
    from qmig.ledger.ledger import Ledger
    from qmig.ledger.records import MigrationRecord

MIGRATION_HELP = (
    "MIGRATION is the id of a migration, or the beginning of its id. It can be left out if the ledger has only one "
    "migration."
)
# Where the examples of a command begin in its help.
EXAMPLES = "\n\n\b\n"

Function = TypeVar("Function", bound=Callable[..., Any])


def migration_argument(command: Function) -> Function:
    """Add the argument MIGRATION, its explanation in the help, and the options that name its ledger."""
    text, begin, examples = inspect.cleandoc(command.__doc__ or "").partition(EXAMPLES)
    command.__doc__ = f"{text}\n\n{MIGRATION_HELP}{begin}{examples}"
    for decorator in (global_options, target_options, click.argument("migration", required=False)):
        command = decorator(command)
    return command


json_option = option("--json", "as_json", is_flag=True, help="Print JSON.")


def warn_of_malformed(malformed: "Malformed") -> None:
    """Print a line for each record that cannot be read."""
    for problem in malformed.values():
        click.echo(f"warning: {problem}", err=True)


@contextmanager
def open_ledger(
    target_url: str, target_ca_cert: str | None, target_api_key: str | None, ledger: str
) -> "Iterator[Ledger]":
    """Open the ledger that the values of `target_options` name."""
    from qmig.ledger.ledger import Ledger
    from qmig.migration import Endpoint
    from qmig.qdrant.server import Server, server_version

    endpoint = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
    with Server(endpoint, "target", target_api_key, skips_tls_verification(target=endpoint)) as server:
        server_version(server)
        yield Ledger(server, ledger)


@contextmanager
def open_migration(migration: str | None, **where: Any) -> "Iterator[tuple[Ledger, MigrationRecord]]":
    """Open the ledger, and find the migration that `migration_argument` names."""
    from qmig.ledger.find import find_migration

    with open_ledger(**where) as ledger:
        yield ledger, find_migration(ledger, migration)
