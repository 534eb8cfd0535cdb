"""qmig's figures in Flower's `/metrics`: the names stand here and nowhere else."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from flower.views.monitor import Metrics as FlowersMetrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import REGISTRY, Collector

from qmig.ledger.records import State
from qmig.monitor.flower.feed import Feed
from qmig.monitor.status import MigrationStatus

WORKERS = ("qmig_workers", "Workers that Flower knows online")
OF_MIGRATION = ("migration", "title")
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
class Gauge:
    """One figure of a migration; with a `label` there is one for each of its values."""

    name: str
    text: str
    value: Callable[[MigrationStatus], Mapping[str, float] | float]
    label: str | None = None


GAUGES = (
    Gauge("qmig_points_total", "Points that the plan expects", lambda one: one.expected_points),
    Gauge("qmig_points_copied", "Points that are in the target", lambda one: one.points),
    Gauge("qmig_bytes_copied", "Bytes of the upserts", lambda one: one.bytes),
    Gauge(
        "qmig_chunks",
        "Chunks by state",
        lambda one: {state: one.chunk_states.get(state, 0) for state in CHUNK_STATES},
        "state",
    ),
    Gauge(
        "qmig_chunk_retries_total",
        "Calls that were tried again, by what went wrong",
        lambda one: one.retry_reasons,
        "reason",
    ),
    Gauge("qmig_points_per_second", "Points a second over the last minute", lambda one: one.points_per_second or 0.0),
    Gauge(
        "qmig_seconds_since_progress",
        "Seconds for which a running migration has copied nothing",
        lambda one: one.seconds_since_progress,
    ),
    Gauge(
        "qmig_migration_state",
        "1 for the migration's present state",
        lambda one: {state: float(state == one.state) for state in MIGRATION_STATES},
        "state",
    ),
)


class Gauges(Collector):
    """The figures of every migration that the feed has seen last."""

    def __init__(self, feed: Feed | None) -> None:
        self._feed = feed
        self.workers = 0

    def collect(self) -> Iterable[Metric]:
        """One family a figure."""
        yield GaugeMetricFamily(*WORKERS, value=self.workers)
        if self._feed is None:
            return
        statuses = self._feed.last.as_of_now()
        for gauge in GAUGES:
            labels = [*OF_MIGRATION, *([gauge.label] if gauge.label else [])]
            family = GaugeMetricFamily(gauge.name, gauge.text, labels=labels)
            for one in statuses:
                found = gauge.value(one)
                for value, figure in found.items() if isinstance(found, Mapping) else [(None, found)]:
                    family.add_metric([one.id, one.title, *([] if value is None else [value])], figure)
            yield family


class Metrics(FlowersMetrics):  # type: ignore[misc]
    """Flower's own `/metrics`, with the workers counted before it is written."""

    def initialize(self, gauges: Gauges) -> None:
        self._gauges = gauges

    async def get(self) -> None:
        """Answer a scrape."""
        workers = self.application.events.state.workers.values()
        self._gauges.workers = sum(bool(worker.alive) for worker in workers)
        await super().get()


def register(feed: Feed | None) -> Gauges:
    """Add the gauges to the registry that Flower shows."""
    gauges = Gauges(feed)
    REGISTRY.register(gauges)
    return gauges
