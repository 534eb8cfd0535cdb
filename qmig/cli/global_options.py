"""Options of every command, before or after its name."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import click

from qmig import __version__
from qmig.migration import Endpoint

Function = TypeVar("Function", bound=Callable[..., Any])
# qmig uses private parts of these packages: an error may come with a version of them.
VERSIONED = ("celery", "kombu", "flower", "pymilvus", "qdrant-client")


def _remember(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Before or after the subcommand: either place counts."""
    if value:
        ctx.ensure_object(dict)
        ctx.obj[parameter.name] = True
        if parameter.name in ("debug", "trace"):
            logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
            level = logging.DEBUG if parameter.name == "trace" else logging.INFO
            logging.getLogger().setLevel(level)
            logging.getLogger("qmig").setLevel(logging.DEBUG)
            _log_versions()


@cache
def _log_versions() -> None:
    """Log what qmig runs with, once wherever and however often the option is given."""
    from importlib.metadata import version
    from platform import python_version

    packages = ", ".join(f"{name} {version(name)}" for name in VERSIONED)
    logging.getLogger(__name__).debug("qmig %s, Python %s, %s", __version__, python_version(), packages)


def global_options(command: Function) -> Function:
    """Options that are accepted before and after the subcommand; `is_set` tells whether one was given."""
    for decorator in (
        click.version_option(__version__, prog_name="qmig"),
        click.option(
            "--skip-tls-verification",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Trust whatever certificate the servers show.",
        ),
        click.option(
            "--trace",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Log everything, of the libraries too.",
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_remember, help="Log what happens to stderr."
        ),
    ):
        command = decorator(command)
    return command


def is_set(name: str) -> bool:
    """Whether the global option was given, before or after the subcommand."""
    context = click.get_current_context()
    return any(bool((c.obj or {}).get(name)) for c in _chain(context))


def _chain(context: click.Context | None) -> list[click.Context]:
    contexts = []
    while context is not None:
        contexts.append(context)
        context = context.parent
    return contexts


def skips_tls_verification(**ends: Endpoint) -> bool:
    """Whether no certificate of these ends is checked; says so on stderr, with the ends by their roles."""
    if not is_set("skip_tls_verification"):
        return False
    if unchecked := [f"{role} {end.url}" for role, end in ends.items() if end.tls]:
        click.echo(
            f"warning: --skip-tls-verification: {' and '.join(unchecked)} may be anybody: certificates are not "
            "checked",
            err=True,
        )
    return True
