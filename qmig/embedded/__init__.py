"""Servers as child processes: a Redis, a Qdrant endpoint and a Milvus, to try qmig out and to test it."""
