"""The steps of every command that migrates: preflight, fleet, migration, summary and verification."""

from collections.abc import Callable

from msgspec.structs import replace

from qmig.broker.fleet import Fleet
from qmig.cli.fleet import open_fleet
from qmig.cli.global_options import skips_tls_verification
from qmig.cli.interrupt import interruption
from qmig.cli.views.dry_run import describe_dry_run
from qmig.cli.views.live import LiveView
from qmig.cli.views.summary import describe_summary, describe_verification, verification_as_json
from qmig.coordinator.migrate import Coordinator
from qmig.coordinator.preflight import PreflightResult, RunOptions
from qmig.coordinator.results import Result
from qmig.coordinator.verify import Verification
from qmig.errors import IncompleteError, UsageError, VerificationError
from qmig.ledger.findings import Checks
from qmig.ledger.verdict import judge
from qmig.migration import Credentials, Endpoint, Migration, OnError, Options, Routing, SourceSpec, TargetSpec
from qmig.qdrant.keys import shard_key_option


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

    `credentials` are those of the source. The other arguments are the values of `target_options` and
    `migration_options`.
    """
    target = Endpoint.parse(target_url, "--target-url", ca_cert=target_ca_cert)
    skip = skips_tls_verification(source=source.endpoint, target=target)
    migration = Migration(
        source=source,
        target=TargetSpec(target, target_collection, ledger),
        options=Options(batch_size, batch_bytes, batch_delay, skip, OnError(on_error), retry_for),
        routing=Routing(shard_key_option(shard_key, "--target-shard-key"), shard_key_field),
    )
    run_options = RunOptions(create_target, ensure_indexes, restart, chunk_size, max_rate, retry_rejects)
    if detach and not broker_url:
        raise UsageError("--detach needs a fleet that keeps running without this command; give --broker-url")
    if detach and verify:
        raise UsageError("--detach ends before the migration is done; leave out --verify and call qmig verify later")
    credentials = replace(credentials, target_api_key=target_api_key)
    with interruption() as interrupted:
        if dry_run:
            print_dry_run(migration, credentials, run_options)
            return
        with LiveView(migration.title, quiet) as view:
            if detach:
                run_detached(migration, credentials, run_options, broker_url or "", view, interrupted)
            else:
                migrate(migration, credentials, run_options, broker_url, workers, view, interrupted, verify)


def print_dry_run(migration: Migration, credentials: Credentials, run_options: RunOptions) -> None:
    """Print what the migration would do; nothing is written."""
    with LiveView(migration.title) as view, Coordinator(migration, credentials, run_options, view) as coordinator:
        preflight = _preflight(coordinator, view)
        print(describe_dry_run(coordinator.migration, preflight, run_options))


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
    """Migrate over the broker's fleet, or over a fleet on this machine; print the summary, and verify."""
    with Coordinator(migration, credentials, run_options, view) as coordinator:
        preflight = _preflight(coordinator, view)
        with open_fleet(broker_url, workers) as fleet:
            result = coordinator.run(fleet, preflight, interrupted)
            view.close()

            def verify_result() -> None:
                record = result.record
                verification = Verification(preflight.ledger, record, record.definition, Checks(), credentials, view)
                verification.preflight()
                run_verification(verification, fleet, view, interrupted)

            print_summary(result, verify_result if verify else None)


def print_summary(result: Result, verify: Callable[[], None] | None = None) -> None:
    """Print the closing lines, and verify. IncompleteError where the verdict has exceptions."""
    verdict = judge(result.reconciliation, result.record.migration)
    print(describe_summary(result, verdict), flush=True)
    if verify is not None:
        verify()
    if verdict.exit_status:
        raise IncompleteError(f"finished, with exceptions: {'; and '.join(verdict.exceptions)}")


def run_verification(
    verification: Verification,
    fleet: Fleet,
    view: LiveView,
    interrupted: Callable[[], bool],
    as_json: bool = False,
) -> None:
    """Verify, and print the result. VerificationError where the target differs from the source.

    IncompleteError where only points are missing that could not be copied.
    """
    result = verification.run(fleet, interrupted)
    view.close()
    print(verification_as_json(result) if as_json else describe_verification(result), flush=True)
    findings = result.findings
    if findings.unequal:
        raise VerificationError(f"the target differs from the source: {findings.text}")
    if findings.rejected:
        raise IncompleteError(
            f"{findings.rejected:,} points could not be copied and are missing, everything else is equal: `qmig "
            f"rejects {result.record.verifies}` lists them with the reasons"
        )


def run_detached(
    migration: Migration,
    credentials: Credentials,
    run_options: RunOptions,
    broker_url: str,
    view: LiveView,
    interrupted: Callable[[], bool],
) -> None:
    """Plan the migration, print its id, and leave the rest to the fleet."""
    with Coordinator(migration, credentials, run_options, view) as coordinator:
        preflight = _preflight(coordinator, view)
        with open_fleet(broker_url, workers=None) as fleet:
            coordinator.detach(fleet, preflight, interrupted)
        view.say(f"the fleet continues the migration; `qmig attach {migration.id}` shows it")
        print(migration.id, flush=True)


def _preflight(coordinator: Coordinator, view: LiveView) -> PreflightResult:
    preflight = coordinator.preflight()
    for notice in preflight.notices:
        view.say(notice)
    for warning in preflight.warnings:
        view.warn(warning)
    return preflight
