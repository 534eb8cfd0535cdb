"""Options of the commands that migrate, besides those of their source and target."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from qmig.cli.options import broker_option, option, quiet_option, switch, workers_option
from qmig.migration import MAX_BATCH_BYTES, OnError, Options

Function = TypeVar("Function", bound=Callable[..., Any])
DEFAULTS = Options()


class Duration(click.ParamType[float]):
    """A duration such as `90`, `90s`, `10m` or `2h`, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is not a duration; give seconds, or a value such as 90s, 10m, 2h", param, ctx)
        return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


# In the order of the help.
_MIGRATION_OPTIONS = (
    option(
        "--target-collection",
        "--target.collection",
        "--qdrant.collection",
        "target_collection",
        required=True,
        metavar="NAME",
        help="Collection to write to.",
    ),
    option(
        "-b",
        "--batch-size",
        "--migration.batch-size",
        "batch_size",
        type=click.IntRange(1),
        metavar="N",
        help="Points per upsert. By default the number starts at 50 and adapts to --batch-bytes.",
    ),
    option(
        "--batch-bytes",
        "batch_bytes",
        type=click.IntRange(1, MAX_BATCH_BYTES),
        metavar="BYTES",
        default=DEFAULTS.batch_bytes,
        show_default=True,
        help="Size of an upsert to aim at, in bytes.",
    ),
    option(
        "--batch-delay",
        "--migration.batch-delay",
        "batch_delay",
        type=click.IntRange(0),
        default=0,
        show_default=True,
        metavar="MS",
        help="Milliseconds that a worker waits between two upserts.",
    ),
    switch(
        "-c",
        "--create-target-collection",
        "--migration.create-collection",
        "create_target",
        help="Create the target collection, with the source's settings and payload indexes, if it does not exist.",
    ),
    switch(
        "--ensure-payload-indexes",
        "--target.ensure-payload-indexes",
        "ensure_indexes",
        help="Create payload indexes of the source that an existing target lacks.",
    ),
    option(
        "--target-shard-key",
        "--target.shard-key",
        "shard_key",
        metavar="KEY",
        help="Write all points to this shard key. Digits are a number; give text of digits alone as '\"7\"'.",
    ),
    option(
        "--target-shard-key-field",
        "--target.shard-key-field",
        "shard_key_field",
        metavar="FIELD",
        help="Write each point to the shard key that is the value of this payload field.",
    ),
    option(
        "--on-error",
        "on_error",
        type=click.Choice([policy.value for policy in OnError]),
        default=DEFAULTS.on_error.value,
        show_default=True,
        help="What to do with a point that cannot be copied: fail its chunk, or record it as a reject and continue.",
    ),
    option(
        "--retry-rejects",
        "retry_rejects",
        is_flag=True,
        help="Retry the rejects of an earlier run first.",
    ),
    option(
        "--retry-for",
        "retry_for",
        type=Duration(),
        default="1h",
        show_default=True,
        metavar="DURATION",
        help="How long to wait for a server that does not answer before the migration stops: seconds, or a value "
        "such as 90s, 10m, 2h.",
    ),
    switch(
        "--restart-migration",
        "--migration.restart",
        "restart",
        help="Delete the plan and the offsets of this migration, and begin it again.",
    ),
    broker_option,
    workers_option,
    option(
        "--chunk-size",
        "chunk_size",
        type=click.IntRange(1),
        metavar="N",
        help="Points per chunk to aim at. By default it depends on the size of the collection.",
    ),
    option(
        "--max-rate",
        "max_rate",
        type=click.IntRange(1),
        metavar="N",
        help="Limit of points per second over the whole fleet. Change it later with `qmig throttle`.",
    ),
    option(
        "--detach",
        "detach",
        is_flag=True,
        help="Plan the migration, print its id, and let the fleet run it without this command.",
    ),
    quiet_option,
    option("--verify", "verify", is_flag=True, help="Compare all points at the end, as `qmig verify` does."),
    option("--dry-run", "dry_run", is_flag=True, help="Print what the command would do, and write nothing."),
)


def migration_options(command: Function) -> Function:
    """Add the options of every command that migrates, besides those of its source and target."""
    for decorator in reversed(_MIGRATION_OPTIONS):
        command = decorator(command)
    return command
