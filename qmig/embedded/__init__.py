"""The one-machine stack: a Redis and a Qdrant endpoint to try qmig with and to test it against."""
