"""Options that commands share, as decorators, and the Go tool's dotted spellings as further names."""

import logging
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from qmig import __version__
from qmig.cli.certificates import read_certificates
from qmig.migration import DEFAULT_LEDGER, FAIL, MAX_BATCH_BYTES, SKIP, Endpoint, Options

Function = TypeVar("Function", bound=Callable[..., Any])
DEFAULTS = Options()


class Option(click.Option):
    """An option whose help leaves out the dotted names; they work all the same."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        every = self.opts
        self.opts = [name for name in every if "." not in name]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = every


class Duration(click.ParamType[float]):
    """Seconds, from `90`, `90s`, `10m` or `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration; give seconds, or 90s, 10m, 2h", param, ctx)
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


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


def ca_cert_option(role: str) -> Callable[[Function], Function]:
    """The option that names the certificates to trust at one end; its value is their text."""
    return option(
        f"--{role}-ca-cert",
        f"{role}_ca_cert",
        metavar="FILE",
        callback=read_certificates,
        help=f"PEM certificates to trust at the {role}, instead of the machine's; workers get them with their tasks.",
    )


def _target_options(required: bool) -> Callable[[Function], Function]:
    decorators = (
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
            "--qdrant.api-key",
            "target_api_key",
            envvar="TARGET_API_KEY",
            show_envvar=True,
            metavar="KEY",
            help="API key of the target.",
        ),
        ca_cert_option("target"),
        option(
            "--target-url",
            "--target.url",
            "--qdrant.url",
            "target_url",
            envvar="QMIG_TARGET_URL",
            show_envvar=True,
            required=required,
            metavar="URL",
            help="gRPC URL of the target, http://host:6334 or https://…",
        ),
    )

    def decorate(command: Function) -> Function:
        for decorator in decorators:
            command = decorator(command)
        return command

    return decorate


# Where the ledger is.
target_options = _target_options(required=True)
optional_target_options = _target_options(required=False)


broker_option = option(
    "--broker-url",
    "broker_url",
    envvar="QMIG_BROKER_URL",
    show_envvar=True,
    metavar="URL",
    help="Redis that carries the tasks, redis://[user:password@]host:6379/0 or rediss://…",
)


quiet_option = option(
    "--quiet", "quiet", is_flag=True, help="Show no progress: warnings, and the summary at the end."
)
workers_option = option(
    "--workers",
    "--migration.num-workers",
    "workers",
    type=click.IntRange(1),
    metavar="N",
    help="Local workers where no broker is given; one a core by default.",
)


# The migration's own options, in the order of the help.
_MIGRATION_OPTIONS = (
    option(
        "--target-collection",
        "--target.collection",
        "--qdrant.collection",
        "target_collection",
        required=True,
        metavar="NAME",
        help="Collection to write.",
    ),
    option(
        "-b",
        "--batch-size",
        "--migration.batch-size",
        "batch_size",
        type=click.IntRange(1),
        metavar="N",
        help="Points in one upsert. Without it the size starts at 50 and follows --batch-bytes.",
    ),
    option(
        "--batch-bytes",
        "batch_bytes",
        type=click.IntRange(1, MAX_BATCH_BYTES),
        metavar="BYTES",
        default=DEFAULTS.batch_bytes,
        show_default=True,
        help="Aim of one upsert's size.",
    ),
    option(
        "--batch-delay",
        "--migration.batch-delay",
        "batch_delay",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        metavar="MS",
        help="Milliseconds that a worker waits between two batches.",
    ),
    switch(
        "-c",
        "--create-target-collection",
        "--migration.create-collection",
        "create_target",
        help="Create the target as the source is, payload indexes too, if it does not exist.",
    ),
    switch(
        "--ensure-payload-indexes",
        "--target.ensure-payload-indexes",
        "ensure_indexes",
        help="Create on an existing target the payload indexes that it lacks.",
    ),
    option(
        "--target-shard-key",
        "--target.shard-key",
        "shard_key",
        metavar="KEY",
        help="Write every point under this shard key.",
    ),
    option(
        "--target-shard-key-field",
        "--target.shard-key-field",
        "shard_key_field",
        metavar="FIELD",
        help="Write every point under the shard key that this payload field holds.",
    ),
    option(
        "--on-error",
        "on_error",
        type=click.Choice([FAIL, SKIP]),
        default=DEFAULTS.on_error,
        show_default=True,
        help="What a point that cannot be copied means: its chunk fails, or it is recorded and the rest is copied.",
    ),
    option(
        "--retry-rejects",
        "retry_rejects",
        is_flag=True,
        help="Try the points again that an earlier run skipped.",
    ),
    option(
        "--retry-for",
        "retry_for",
        type=Duration(),
        default="1h",
        show_default=True,
        metavar="DURATION",
        help="How long workers try again while a server is away: seconds, or 90s, 10m, 2h.",
    ),
    switch(
        "--restart-migration",
        "--migration.restart",
        "restart",
        help="Forget this migration's plan and offsets, only this one's, and begin again.",
    ),
    broker_option,
    workers_option,
    option(
        "--chunk-size",
        "chunk_size",
        type=click.IntRange(1),
        metavar="N",
        help="Points a chunk aims at; by default from the collection's size.",
    ),
    option(
        "--max-rate",
        "max_rate",
        type=click.IntRange(1),
        metavar="N",
        help="Points a second over the whole fleet; `qmig throttle` changes it while it runs.",
    ),
    option("--detach", "detach", is_flag=True, help="Plan, queue, print the migration's id and leave."),
    quiet_option,
    option("--verify", "verify", is_flag=True, help="Compare every point at the end, as qmig verify does."),
    option("--dry-run", "dry_run", is_flag=True, help="Print what would be done and write nothing."),
)


def migration_options(command: Function) -> Function:
    """What every command that migrates has besides both ends' addresses."""
    for decorator in reversed(_MIGRATION_OPTIONS):
        command = decorator(command)
    return command
