"""The Points service."""

from __future__ import annotations

from qmig.embedded.qdrant.reading import Reading
from qmig.embedded.qdrant.writing import Writing


class PointsService(Reading, Writing):
    """The calls of `qdrant.Points`."""
