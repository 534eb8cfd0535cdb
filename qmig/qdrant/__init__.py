"""Everything that speaks Qdrant: its messages, and a collection read, written, created and compared."""
