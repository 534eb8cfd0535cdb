"""The broker's URL, read in the same way by every library that gets it."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

#: The environment variable with the broker's URL.
BROKER_VARIABLE = "QMIG_BROKER_URL"
#: The broker of a worker that is given none.
DEFAULT_BROKER = "redis://127.0.0.1:6379/0"
#: Seconds after which a Redis that does not answer counts as unavailable: a network may drop packets silently.
#: Celery waits up to three times as long, and the next heartbeat of a chunk still comes within its lease.
TIMEOUTS = {"socket_timeout": 3.0, "socket_connect_timeout": 3.0}
#: Values of `ssl_cert_reqs` in redis-py; kombu also takes Python's names, which have CERT_ before them.
CERTIFICATE_CHECKS = ("required", "optional", "none")


def normalized(url: str) -> str:
    """A `redis://` URL as it is, a `rediss://` URL with its `ssl_cert_reqs`; ValueError for any other.

    Without `ssl_cert_reqs` kombu would check no certificate.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("not a URL with redis:// or rediss:// and a host")
    if parts.scheme == "redis":
        return url
    query = dict(parse_qsl(parts.query))
    asked = query.get("ssl_cert_reqs", "required")
    query["ssl_cert_reqs"] = asked.lower().removeprefix("cert_")
    if query["ssl_cert_reqs"] not in CERTIFICATE_CHECKS:
        raise ValueError(f"ssl_cert_reqs={asked} is none of {', '.join(CERTIFICATE_CHECKS)}")
    return urlunsplit(parts._replace(query=urlencode(query)))


def tls_settings(url: str) -> dict[str, Any] | None:
    """The TLS parameters of a normalized URL, for Celery's `broker_use_ssl`: Flower reads them only there."""
    parts = urlsplit(url)
    if parts.scheme == "redis":
        return None
    return {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
