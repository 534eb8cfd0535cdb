"""Connections to servers: channels, TLS, retries, and why a server does not answer."""
