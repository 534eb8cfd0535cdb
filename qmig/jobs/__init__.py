"""What a worker runs: copy a chunk, verify a chunk, supervise a migration to its end."""
