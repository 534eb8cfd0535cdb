"""gRPC to any server: channels, TLS, retries, and why a server does not answer."""
