"""The jobs of a worker: copy a chunk, verify a chunk, supervise a migration to its end."""
