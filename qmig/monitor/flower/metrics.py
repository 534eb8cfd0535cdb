"""qmig's metrics in Flower's `/metrics`. Their names stand only here."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flower.views.monitor import Metrics as FlowersMetrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from qmig.ledger.records import State
from qmig.ledger.verdict import Outcome
from qmig.monitor.flower.feed import Feed
from qmig.monitor.status import MigrationStatus

WORKERS = ("qmig_workers", "Workers (`qmig worker` commands) that Flower knows to be online.")
MALFORMED = ("qmig_malformed_migrations", "Migrations in the ledger whose records cannot be read.")
MIGRATION_LABELS = ("migration", "title")
CHUNK_STATES = (State.PENDING, State.RUNNING, State.DONE, State.FAILED)
MIGRATION_STATES = (
    State.PREPARING,
    State.RUNNING,
    State.PAUSED,
    State.STOPPED,
    State.CANCELLED,
    State.FAILED,
    State.DONE,
)


@dataclass(frozen=True)
class MigrationMetric:
    """A metric of every migration."""

    #: The name of its samples. A counter ends in `_total`.
    name: str
    #: The help text in `/metrics`.
    help: str
    #: The value of one migration, or its values by that of `label`.
    value: Callable[[MigrationStatus], Mapping[str, float] | float]
    #: The label beyond `MIGRATION_LABELS`.
    label: str | None = None

    @property
    def is_counter(self) -> bool:
        return self.name.endswith("_total")

    def family(self, statuses: Iterable[MigrationStatus]) -> Metric:
        """The metric with a sample, or several, of each migration."""
        kind = CounterMetricFamily if self.is_counter else GaugeMetricFamily
        labels = [*MIGRATION_LABELS, *([self.label] if self.label else [])]
        family: CounterMetricFamily | GaugeMetricFamily = kind(self.name, self.help, labels=labels)
        for status in statuses:
            found = self.value(status)
            values = found.items() if isinstance(found, Mapping) else [(None, found)]
            for label, value in values:
                family.add_metric([status.id, status.title, *([] if label is None else [label])], value)
        return family


MIGRATION_METRICS = (
    MigrationMetric(
        "qmig_points_expected", "Points that the plan expects to copy.", lambda status: status.expected_points
    ),
    MigrationMetric(
        "qmig_points_copied_total", "Points that the target has acknowledged.", lambda status: status.points
    ),
    MigrationMetric("qmig_bytes_copied_total", "Bytes of the upserts.", lambda status: status.bytes),
    MigrationMetric(
        "qmig_chunks",
        "Chunks of the plan by state.",
        lambda status: {state: status.chunk_states.get(state, 0) for state in CHUNK_STATES},
        "state",
    ),
    MigrationMetric(
        "qmig_retries_total",
        "Calls to the source or the target that were retried, by the reason of the failure.",
        lambda status: status.retry_reasons,
        "reason",
    ),
    MigrationMetric(
        "qmig_points_per_second",
        "Points copied per second, over the last minute.",
        lambda status: status.points_per_second or 0.0,
    ),
    MigrationMetric(
        "qmig_seconds_since_progress",
        "Seconds for which a running migration has copied no point.",
        lambda status: status.seconds_since_progress,
    ),
    MigrationMetric(
        "qmig_migration_state",
        "1 for the state that the migration is in, 0 for every other state.",
        lambda status: {state: float(state == status.state) for state in MIGRATION_STATES},
        "state",
    ),
    MigrationMetric(
        "qmig_migration_outcome",
        "1 for what the checks at the migration's end have shown, 0 for every other outcome.",
        lambda status: {one: float(status.verdict is not None and one == status.verdict.outcome) for one in Outcome},
        "outcome",
    ),
)


class MetricsCollector(Collector):
    """Collects the metrics of every migration that the feed has read."""

    def __init__(self, feed: Feed | None) -> None:
        self._feed = feed
        #: Workers that Flower knows to be online.
        self.workers = 0

    def collect(self) -> Iterable[Metric]:
        """The workers, the records that cannot be read, then one family for each metric of the migrations."""
        yield GaugeMetricFamily(*WORKERS, value=self.workers)
        if self._feed is None:
            return
        yield GaugeMetricFamily(*MALFORMED, value=len(self._feed.last.malformed))
        statuses = self._feed.last.as_of_now()
        for metric in MIGRATION_METRICS:
            yield metric.family(statuses)


class MetricsHandler(FlowersMetrics):  # type: ignore[misc]
    """Flower's own `/metrics`, after the workers have been counted."""

    def initialize(self, collector: MetricsCollector) -> None:
        self._collector = collector

    async def get(self) -> None:
        """Answer a scrape."""
        workers = self.application.events.state.workers.values()
        self._collector.workers = sum(bool(worker.alive) for worker in workers)
        await super().get()


def register(feed: Feed | None) -> MetricsCollector:
    """Add qmig's metrics to the registry that Flower exposes."""
    collector = MetricsCollector(feed)
    REGISTRY.register(collector)
    return collector
