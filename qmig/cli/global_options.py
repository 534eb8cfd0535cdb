"""The options that every command takes, before or after its name."""

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
    """Remember an option that was given in either place, and set up logging."""
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
    """Add the options that are accepted before and after the command's name; `is_set` tells whether one was given."""
    for decorator in (
        click.version_option(__version__, prog_name="qmig"),
        click.option(
            "--skip-tls-verification",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Do not check the certificates of servers.",
        ),
        click.option(
            "--trace",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Log everything to stderr, also from libraries.",
        ),
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_remember, help="Log each step to stderr."
        ),
    ):
        command = decorator(command)
    return command


def is_set(name: str) -> bool:
    """Whether a global option was given, before or after the command's name."""
    context = click.get_current_context()
    return any(bool((one.obj or {}).get(name)) for one in _chain(context))


def _chain(context: click.Context | None) -> list[click.Context]:
    contexts = []
    while context is not None:
        contexts.append(context)
        context = context.parent
    return contexts


def skips_tls_verification(**endpoints: Endpoint) -> bool:
    """Whether certificates are not checked; then a warning on stderr names the endpoints, by their roles."""
    if not is_set("skip_tls_verification"):
        return False
    if unchecked := [f"{role} {endpoint.url}" for role, endpoint in endpoints.items() if endpoint.tls]:
        click.echo(
            f"warning: --skip-tls-verification: certificates are not checked, so {' and '.join(unchecked)} may be "
            "another server",
            err=True,
        )
    return True
