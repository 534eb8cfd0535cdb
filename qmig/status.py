"""Where migrations stand, told from the ledger alone."""

from qmig.findings import Findings
from qmig.ledger import Ledger, MigrationRecord
from qmig.lookup import find_migration, migrations
from qmig.progress import Progress

SHOWN_FAILURES = 10


def describe_status(ledger: Ledger, wanted: str | None) -> str:
    """A few lines a migration; `wanted` is an id or a unique beginning of one, None is all of them."""
    records = migrations(ledger) if wanted is None else [find_migration(ledger, wanted)]
    if not records:
        return f"no migrations in the ledger {ledger.name!r} at {ledger.server.endpoint.url}"
    return "\n".join(_lines(ledger, record) for record in records)


def _lines(ledger: Ledger, record: MigrationRecord) -> str:
    progress = Progress.of(ledger.chunks(record.migration, range(record.chunks)))
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(progress.states.items()))
    lines = [
        f"{record.migration}  {record.title}  {record.state}  {progress.share:.0%}",
        f"  {progress.points:,}/~{progress.total:,} points, {progress.bytes / 1e6:,.1f} MB, "
        f"{progress.retries:,} retries; {progress.chunks:,} chunks: {states or 'not planned yet'}",
    ]
    if progress.rejected:
        lines.append(f"  {progress.rejected:,} points were skipped; `qmig rejects {record.migration}` lists them")
    if record.findings is not None:
        lines.append(f"  found: {Findings.from_dict(record.findings).text or 'all of them equal'}")
    for chunk in progress.running:
        host, process, *_ = chunk.owner.split("/")
        waiting = f", waiting: {chunk.waiting}" if chunk.waiting else ""
        lines.append(f"  chunk {chunk.index} at {host}/{process}: {chunk.acknowledged:,} points{waiting}")
    lines += [f"  chunk {chunk.index} failed: {chunk.error}" for chunk in progress.failed[:SHOWN_FAILURES]]
    return "\n".join(lines)
