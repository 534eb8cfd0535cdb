"""`qmig qdrant`, `qmig milvus` and their like: the command of each kind of source, made from its row."""

from typing import Any

import click

from qmig.cli.global_options import global_options
from qmig.cli.migration_options import migration_options
from qmig.cli.options import apply, option, source_options, target_options
from qmig.sources.kind import SourceKind

HELP = """Copy a {product} collection into Qdrant, spread over a fleet of workers.

{about}If the command is stopped or killed at any moment, the same command resumes the migration. Without a broker, it
starts Redis and workers on this machine for this run.
"""
EXAMPLE = (
    "Example:\n\n  qmig {name} --source-url {url} --source-collection products --target-url http://b:6334 "
    "--target-collection products -c"
)


def source_command(kind: SourceKind) -> click.Command:
    """Make `qmig NAME` for a kind of source."""
    module = kind.load()

    def command(
        source_url: str,
        source_collection: str,
        source_api_key: str | None = None,
        source_username: str | None = None,
        source_password: str | None = None,
        source_ca_cert: str | None = None,
        **common: Any,
    ) -> None:
        from msgspec.structs import replace

        from qmig.cli.migrate import run
        from qmig.migration import Credentials, Endpoint, SourceSpec

        own = {one.name: common.pop(one.name) for one in module.OPTIONS}
        endpoint = Endpoint.parse(source_url, "--source-url", kind.url)
        source = module.with_options(SourceSpec(kind.name, endpoint, source_collection), own)
        if source_ca_cert is not None:
            source = replace(source, endpoint=source.endpoint.trusting(source_ca_cert, "--source-url"))
        run(source, Credentials(source_api_key, None, source_username, source_password), **common)

    decorated = apply(
        command,
        *source_options(kind),
        *(option(*one.flags, one.name, **one.settings) for one in module.OPTIONS),
        target_options,
        migration_options,
        global_options,
    )
    decorated.__doc__ = HELP.format(product=kind.product, about=f"{kind.help} " if kind.help else "")
    return click.command(kind.name, epilog=EXAMPLE.format(name=kind.name, url=_example_url(kind)))(decorated)


def summary(name: str) -> str:
    """The description of a kind's command in the list of commands, without loading the packages that add kinds."""
    from qmig.sources.registry import KINDS

    if name not in KINDS:
        return f"Copy a collection into Qdrant from {name}, which an installed package adds."
    return f"Copy a {KINDS[name].product} collection into Qdrant."


def _example_url(kind: SourceKind) -> str:
    return kind.url.examples[0].replace("//host", "//a")
