"""How every migrating command runs: survey, fleet, migration, and the closing lines."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from msgspec.structs import replace

from qmig.broker.fleet import Fleet
from qmig.cli.global_options import skips_tls_verification
from qmig.cli.views.dry_run import describe_dry_run
from qmig.cli.views.live import LiveView
from qmig.cli.views.summary import describe_missing, describe_summary, describe_verdict, verdict_as_json
from qmig.coordinator.migrate import Coordinator
from qmig.coordinator.preflight import PreflightResult, RunOptions
from qmig.coordinator.results import Summary
from qmig.coordinator.verify import Verification
from qmig.errors import IncompleteError, Interrupted, UsageError, VerificationError
from qmig.ledger.findings import Checks
from qmig.migration import Credentials, Endpoint, Migration, OnError, Options, Routing, SourceSpec, TargetSpec


class Interruption:
    """Ctrl-C or SIGTERM: the first asks to stop after the batches in flight, the second leaves at once."""

    def __init__(self) -> None:
        self._signalled = False

    def __call__(self) -> bool:
        return self._signalled

    def note(self, _signal: int, _frame: FrameType | None) -> None:
        if self._signalled:
            raise Interrupted("interrupted again: left without waiting; the same command goes on from the ledger")
        self._signalled = True


@contextmanager
def interruption() -> Iterator[Interruption]:
    """Watch for Ctrl-C and SIGTERM."""
    noted = Interruption()
    before = {number: signal.signal(number, noted.note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    source: SourceSpec,
    credentials: Credentials,
    *,
    target_url: str,
    target_ca_cert: str | None,
    target_api_key: str | None,
    target_collection: str,
    ledger: str,
    batch_size: int | None,
    batch_bytes: int,
    batch_delay: int,
    create_target: bool,
    ensure_indexes: bool,
    shard_key: str | None,
    shard_key_field: str | None,
    on_error: str,
    retry_for: float,
    retry_rejects: bool,
    restart: bool,
    broker_url: str | None,
    workers: int | None,
    chunk_size: int | None,
    max_rate: int | None,
    detach: bool,
    quiet: bool,
    verify: bool,
    dry_run: bool,
) -> None:
    """Run a migration from `source`, or with `dry_run` print what it would do.

    `credentials` are the source's; the rest are the values of `target_options` and `migration_options`.
    """
    target = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
    skip = skips_tls_verification(source=source.endpoint, target=target)
    migration = Migration(
        source=source,
        target=TargetSpec(target, target_collection, ledger),
        options=Options(batch_size, batch_bytes, batch_delay, skip, OnError(on_error), retry_for),
        routing=Routing(shard_key, shard_key_field),
    )
    run_options = RunOptions(create_target, ensure_indexes, restart, chunk_size, max_rate, retry_rejects)
    if detach and not broker_url:
        raise UsageError("--detach needs a fleet that goes on without this command; give --broker-url")
    if detach and verify:
        raise UsageError("--verify comes at the end, and --detach leaves before it; call qmig verify then")
    credentials = replace(credentials, target_api_key=target_api_key)
    with interruption() as interrupted:
        if dry_run:
            look(migration, credentials, run_options)
            return
        with LiveView(migration.title, quiet) as view:
            if detach:
                leave(migration, credentials, run_options, broker_url or "", view, interrupted)
            else:
                migrate(migration, credentials, run_options, broker_url, workers, view, interrupted, verify)


def look(migration: Migration, credentials: Credentials, run_options: RunOptions) -> None:
    """Print what the migration would do; nothing is written."""
    with LiveView(migration.title) as view, Coordinator(migration, credentials, run_options, view) as coordinator:
        survey = _survey(coordinator, view)
        print(describe_dry_run(migration, survey, run_options))


def migrate(
    migration: Migration,
    credentials: Credentials,
    run_options: RunOptions,
    broker_url: str | None,
    workers: int | None,
    view: LiveView,
    interrupted: Callable[[], bool],
    verify: bool = False,
) -> None:
    """Migrate over the broker's fleet, or over one of this machine's own, print the summary, and verify."""
    with (
        open_fleet(broker_url, workers) as fleet,
        Coordinator(migration, credentials, run_options, view) as coordinator,
    ):
        survey = _survey(coordinator, view)
        fleet.check()
        summary = coordinator.run(fleet, survey, interrupted)
        view.close()

        def verified() -> None:
            record = summary.record
            recorded = record.definition
            verification = Verification(survey.ledger, record, recorded, Checks(), credentials, view)
            verification.preflight()
            compare(verification, fleet, view, interrupted)

        conclude(summary, verified if verify else None)


def conclude(summary: Summary, verify: Callable[[], None] | None = None) -> None:
    """Print the closing lines, and verify; IncompleteError where points are known to be missing."""
    print(describe_summary(summary), flush=True)
    if verify is not None:
        verify()
    if missing := describe_missing(summary):
        raise IncompleteError(missing)


def compare(
    verification: Verification,
    fleet: Fleet,
    view: LiveView,
    interrupted: Callable[[], bool],
    as_json: bool = False,
) -> None:
    """Verify and print what was found; VerificationError where the target is not as the source is.

    IncompleteError where nothing is wrong with it but that it lacks points that could not be copied.
    """
    verdict = verification.run(fleet, interrupted)
    view.close()
    print(verdict_as_json(verdict) if as_json else describe_verdict(verdict), flush=True)
    found = verdict.findings
    if found.unequal:
        raise VerificationError(f"the target is not as the source is: {found.text}")
    if found.rejected:
        raise IncompleteError(
            f"{found.rejected:,} points could not be copied and are missing, everything else is equal: `qmig rejects "
            f"{verdict.record.verifies}` lists them with the reasons"
        )


def leave(
    migration: Migration,
    credentials: Credentials,
    run_options: RunOptions,
    broker_url: str,
    view: LiveView,
    interrupted: Callable[[], bool],
) -> None:
    """Plan, queue, print the migration's id, and leave the rest to the fleet."""
    with (
        Fleet(broker_url) as fleet,
        Coordinator(migration, credentials, run_options, view) as coordinator,
    ):
        survey = _survey(coordinator, view)
        fleet.check()
        coordinator.detach(fleet, survey, interrupted)
        view.say(f"the fleet goes on; `qmig attach {migration.id}` shows it")
        print(migration.id, flush=True)


def _survey(coordinator: Coordinator, view: LiveView) -> PreflightResult:
    survey = coordinator.preflight()
    for notice in survey.notices:
        view.say(notice)
    for warning in survey.warnings:
        view.warn(warning)
    return survey


def open_fleet(broker_url: str | None, workers: int | None) -> Fleet:
    """The broker's fleet, or one of this machine's own."""
    if broker_url:
        if workers:
            click.echo(
                f"warning: --workers {workers} has no effect: the broker's workers are those of `qmig worker`",
                err=True,
            )
        return Fleet(broker_url)
    from qmig.embedded.fleet import LocalFleet

    return LocalFleet(workers or os.cpu_count() or 1)
