"""Servers as child processes: a Redis, a Qdrant endpoint and a Milvus, to try qmig with and to test it against."""
