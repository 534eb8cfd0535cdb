"""A Milvus collection as the source: its fields mapped to Qdrant's, its rows read by ranges of the primary key."""

from qmig.sources.milvus.source import MilvusSource, open_source

__all__ = ["MilvusSource", "open_source"]
