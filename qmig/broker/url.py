"""The broker's URL, as every library that reads it understands it in the same way."""

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Seconds after which a Redis that does not answer is taken for away: a network may drop everything without a word.
# Celery waits up to three times as long, and a chunk's next beat has to come within its lease all the same.
TIMEOUTS = {"socket_timeout": 3.0, "socket_connect_timeout": 3.0}

# What the server's certificate must be, in redis-py's words; kombu has Python's besides, with CERT_ before them.
CERTIFICATE_CHECKS = ("required", "optional", "none")


def normalized(url: str) -> str:
    """`redis://…` as it is, `rediss://…` with its checks spelled out; ValueError for anything else.

    Without `ssl_cert_reqs` kombu would check no certificate at all.
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
    """What a normalized URL says about TLS, for Celery's `broker_use_ssl`: Flower reads it there alone."""
    parts = urlsplit(url)
    if parts.scheme == "redis":
        return None
    return {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}


BROKER_VARIABLE = "QMIG_BROKER_URL"
