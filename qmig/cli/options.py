"""Options that commands share, as decorators, and the Go tool's dotted spellings as further names."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

from qmig import __version__
from qmig.migration import DEFAULT_LEDGER

Function = TypeVar("Function", bound=Callable[..., Any])


class Option(click.Option):
    """An option whose help leaves out the dotted names; they work all the same."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        every = self.opts
        self.opts = [name for name in every if "." not in name]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """`click.option` with names that the help leaves out."""
    return click.option(*names, cls=Option, **settings)


def switch(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """A flag that also takes `=true` and `=false`, as the Go tool's flags do."""
    return option(*names, is_flag=False, flag_value="true", default=False, type=bool, metavar="", **settings)


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


def target_options(command: Function) -> Function:
    """Where the ledger is."""
    for decorator in (
        option(
            "--migration-offsets-collection-name",
            "--migration.offsets-collection",
            "ledger",
            default=DEFAULT_LEDGER,
            show_default=True,
            metavar="NAME",
            help="The ledger: the collection in the target that keeps plans and offsets.",
        ),
        option(
            "--target-api-key",
            "--target.api-key",
            "target_api_key",
            envvar="TARGET_API_KEY",
            show_envvar=True,
            metavar="KEY",
            help="API key of the target.",
        ),
        option(
            "--target-url",
            "--target.url",
            "target_url",
            required=True,
            metavar="URL",
            help="gRPC URL of the target, http://host:6334 or https://…",
        ),
    ):
        command = decorator(command)
    return command


broker_option = option(
    "--broker-url",
    "broker_url",
    envvar="QMIG_BROKER_URL",
    show_envvar=True,
    metavar="URL",
    help="Redis that carries the tasks, redis://[user:password@]host:6379/0 or rediss://…",
)
