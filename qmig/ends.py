"""Both ends of a migration, open in a worker."""

from dataclasses import dataclass

from qmig.batch_size import BatchSize
from qmig.comparing import PointComparison
from qmig.ledger import Ledger
from qmig.migration import Options
from qmig.routing import Router
from qmig.sources import Source
from qmig.sources.qdrant import QdrantSource
from qmig.writing import Writer


@dataclass
class Ends:
    """Source, target and ledger of one migration, and what is known of its points from chunks before.

    `target` reads the target collection the way a source is read.
    """

    source: Source
    target: QdrantSource
    ledger: Ledger
    router: Router
    writer: Writer
    comparison: PointComparison
    size: BatchSize
    options: Options
