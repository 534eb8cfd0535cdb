"""Both ends of a migration, open in a worker."""

from dataclasses import dataclass

from qmig.jobs.batch_size import BatchSize
from qmig.ledger.ledger import Ledger
from qmig.migration import Options
from qmig.qdrant.point_diff import PointComparison
from qmig.qdrant.reader import CollectionReader
from qmig.qdrant.routing import Router
from qmig.qdrant.writer import Writer
from qmig.sources.base import Source


@dataclass
class Session:
    """Source, target and ledger of one migration, and what is known of its points from chunks before."""

    source: Source
    target: CollectionReader
    ledger: Ledger
    router: Router
    writer: Writer
    comparison: PointComparison
    size: BatchSize
    options: Options
