"""Options of the commands that migrate, beside those of their ends."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from qmig.cli.options import broker_option, option, quiet_option, switch, workers_option
from qmig.migration import MAX_BATCH_BYTES, OnError, Options

Function = TypeVar("Function", bound=Callable[..., Any])
DEFAULTS = Options()


class Duration(click.ParamType[float]):
    """Seconds, from `90`, `90s`, `10m` or `2h`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value).strip())
        if not found:
            self.fail(f"{value!r} is no duration; give seconds, or 90s, 10m, 2h", param, ctx)
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
        type=click.Choice([policy.value for policy in OnError]),
        default=DEFAULTS.on_error.value,
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
