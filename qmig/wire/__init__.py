"""Messages and keys as they stand on the wire, so that a worker decodes no vector and no payload."""
