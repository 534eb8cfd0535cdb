"""What the commands that steer a migration have in common: which one, and its ledger open."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from qmig.cli.global_options import global_options, skips_tls_verification
from qmig.cli.options import option, target_options

if TYPE_CHECKING:
    from qmig.ledger.ledger import Ledger
    from qmig.ledger.records import MigrationRecord

MIGRATION_HELP = "MIGRATION is its id or a unique beginning of it; it may be left out where the ledger has just one."

Function = TypeVar("Function", bound=Callable[..., Any])


def migration_argument(command: Function) -> Function:
    """MIGRATION and where its ledger is; says in the help what MIGRATION may be."""
    command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{MIGRATION_HELP}"
    for decorator in (global_options, target_options, click.argument("migration", required=False)):
        command = decorator(command)
    return command


json_option = option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def open_ledger(
    target_url: str, target_ca_cert: str | None, target_api_key: str | None, ledger: str
) -> "Iterator[Ledger]":
    """The ledger that `target_options` name."""
    from qmig.ledger.ledger import Ledger
    from qmig.migration import Endpoint
    from qmig.qdrant.server import Server, server_version

    endpoint = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
    with Server(endpoint, "target", target_api_key, skips_tls_verification(target=endpoint)) as server:
        server_version(server)
        yield Ledger(server, ledger)


@contextmanager
def open_migration(migration: str | None, **where: Any) -> "Iterator[tuple[Ledger, MigrationRecord]]":
    """The migration that `migration_argument` means, in its ledger."""
    from qmig.ledger.find import find_migration

    with open_ledger(**where) as ledger:
        yield ledger, find_migration(ledger, migration)
