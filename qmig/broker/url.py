"""The broker's URL: read once, and given to every library in the form that it understands."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from qmig.migration import redacted

#: The environment variable with the broker's URL.
BROKER_VARIABLE = "QMIG_BROKER_URL"
#: What a user can do about a URL that names no broker.
CHECK_URL = f"check --broker-url or ${BROKER_VARIABLE}"
#: The broker of a worker that is given none.
DEFAULT_BROKER = "redis://127.0.0.1:6379/0"
#: Seconds after which a Redis that does not answer counts as unavailable: a network may drop packets silently.
#: Celery waits up to three times as long, and the next heartbeat of a chunk still comes within its lease.
TIMEOUTS: dict[str, Any] = {"socket_timeout": 3.0, "socket_connect_timeout": 3.0}
#: Values of `ssl_cert_reqs`; Python's names for them have CERT_ before them.
CERTIFICATE_CHECKS = ("required", "optional", "none")
#: The port of each kind of URL that has one.
DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
#: The files among the parameters of a `rediss://` URL.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
#: The parameters of each kind of URL.
PARAMETERS = {
    "redis": (),
    "rediss": ("ssl_cert_reqs", "ssl_check_hostname", *TLS_FILES),
    "redis+socket": ("db",),
    "sentinel": ("master_name",),
}
FORMS = (
    "redis://host:6379/0, rediss://host:6379/0, redis+socket:///path/to/redis.sock?db=0, or "
    "sentinel://host:26379;sentinel://host:26379/0?master_name=NAME"
)

_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://((?P<login>[^/?#]*)@)?(?P<host>\[[^\]/?#@]*\]|[^/?#@:\[\]]*)(:(?P<port>[0-9]{0,9}))?"
    r"(?P<path>/[^?#]*)?(\?(?P<query>[^#]*))?"
)
#: A user and a password without a host, rather than a host and a port that is none.
_NO_PORT = re.compile(r"(://[^/@;:.]*):(?![0-9]{1,5}(?:[/?;]|$))[^/;?]*")
_HOST = re.compile(r"[\w.-]+")
_DATABASE = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True)
class BrokerUrl:
    """A Redis: at a host, behind a socket of this machine, or the master that sentinels know."""

    scheme: str
    #: Hosts and ports: one, or those of the sentinels; none for a socket.
    hosts: tuple[tuple[str, int], ...] = ()
    #: The path of the socket.
    socket: str = ""
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    #: The name by which the sentinels know the master.
    master_name: str = ""
    #: The parameters of TLS, by redis-py's names.
    tls: Mapping[str, str | bool] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "BrokerUrl":
        """Read a URL; ValueError, without a password in its text, if it names no Redis."""
        scheme = text.strip().partition("://")[0].lower()
        if scheme not in PARAMETERS:
            raise ValueError(f"not a URL of a Redis, such as {FORMS}")
        parts = [_match(part, scheme) for part in (text.split(";") if scheme == "sentinel" else [text])]
        # Sentinels are given one by one; what holds for all of them stands in any of their URLs.
        one = {name: next((part[name] for part in parts if part[name]), "") for name in ("login", "path", "query")}
        query = _parameters(scheme, one["query"])
        user, _, password = one["login"].partition(":")
        given: dict[str, Any] = {"username": unquote(user) or None, "password": unquote(password) or None}
        if scheme == "redis+socket":
            given["socket"] = _socket(parts[0]["host"], one["path"])
            database = query.get("db", "")
        else:
            given["hosts"] = tuple(_host(part["host"], part["port"], DEFAULT_PORTS[scheme]) for part in parts)
            database = one["path"].removeprefix("/")
        if database and not _DATABASE.fullmatch(database):
            raise ValueError(f"the database {database!r} is not a number, such as 0")
        if scheme == "sentinel" and not query.get("master_name"):
            raise ValueError("it names no master; add ?master_name=NAME, as the sentinels' configuration has it")
        tls = _tls(query) if scheme == "rediss" else {}
        return cls(scheme, database=int(database or 0), master_name=query.get("master_name", ""), tls=tls, **given)

    def __str__(self) -> str:
        """The whole URL, with the password: parsed again, it is equal."""
        query = self._tls_query
        if self.master_name:
            query["master_name"] = self.master_name
        if self.socket and self.database:
            query["db"] = str(self.database)
        return self._text(self._login) + (f"?{urlencode(query)}" if query else "")

    @property
    def shown(self) -> str:
        """The URL for people, without user and password."""
        text = self._text("***@" if self._login else "")
        return f"{text} ({self.master_name})" if self.master_name else text

    @property
    def missing_file(self) -> str | None:
        """A parameter that names a file which does not exist."""
        named = ((name, str(self.tls[name])) for name in TLS_FILES if name in self.tls)
        return next((f"{name}={path}" for name, path in named if not Path(path).is_file()), None)

    @cached_property
    def _login(self) -> str:
        if self.username is None and self.password is None:
            return ""
        password = "" if self.password is None else f":{quote(self.password, safe='')}"
        return f"{quote(self.username or '', safe='')}{password}@"

    @property
    def _tls_query(self) -> dict[str, str]:
        return {name: str(value).lower() if isinstance(value, bool) else value for name, value in self.tls.items()}

    def _text(self, login: str) -> str:
        if self.socket:
            return f"{self.scheme}://{login}{quote(self.socket)}"
        addresses = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return ";".join(f"{self.scheme}://{login}{address}/{self.database}" for address in addresses)

    def client(self) -> "redis.Redis":
        """A client of the Redis, which connects when it is first used."""
        settings: dict[str, Any] = {
            **TIMEOUTS,
            "db": self.database,
            "username": self.username,
            "password": self.password,
            # A pooled connection may have been closed by the server. A time-out is not tried again.
            "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        }
        if self.socket:
            return redis.Redis(unix_socket_path=self.socket, **settings)
        if self.master_name:
            sentinel = Sentinel(self.hosts, **TIMEOUTS)  # type: ignore[no-untyped-call]
            master: redis.Redis = sentinel.master_for(self.master_name, **settings)  # type: ignore[no-untyped-call]
            return master
        host, port = self.hosts[0]
        if self.tls:
            settings |= {"ssl": True, **self.tls}
        return redis.Redis(host, port, **settings)

    def celery_settings(self) -> dict[str, Any]:
        """Celery's settings for the broker; Flower reads the same."""
        url = self._text(self._login)
        if self.socket:
            url = f"{url}?virtual_host={self.database}"
        elif self.tls:
            # Kombu checks no certificate where the URL does not ask for it, whatever the other settings say.
            url = f"{url}?{urlencode(self._tls_query)}"
        options = {"socket_keepalive": True, **TIMEOUTS}
        if self.master_name:
            options["master_name"] = self.master_name
        return {"broker_url": url, "broker_use_ssl": dict(self.tls) or None, "broker_transport_options": options}


def unusable(text: str, problem: object) -> str:
    """The message about a URL that names no Redis, with what a user can do."""
    return f"the broker {shown_text(text)} cannot be used: {problem}; {CHECK_URL}"


def shown_text(text: str) -> str:
    """A text that is no URL, for people: in one line, without what may be a password, such as a port that is none."""
    return _NO_PORT.sub(r"\1:***", redacted(" ".join(text.split())))


def _match(text: str, scheme: str) -> dict[str, str]:
    found = _URL.fullmatch(text.strip())
    parts = {name: value or "" for name, value in found.groupdict().items()} if found else {}
    if "@" in parts.get("path", "") + parts.get("query", "") or (found is None and "@" in text):
        raise ValueError("a character of the user or the password has to be percent-encoded, such as %2F for /")
    if found is None or parts["scheme"] != scheme or not text.isprintable():
        raise ValueError(f"not a URL of a Redis with a host and a port, such as {FORMS}")
    return parts


def _parameters(scheme: str, query: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name not in PARAMETERS[scheme]:
            known = f"; it may have {', '.join(PARAMETERS[scheme])}" if PARAMETERS[scheme] else ""
            hint = "; the database is the path, as in redis://host:6379/5" if name == "db" else known
            raise ValueError(f"a {scheme}:// URL has no parameter {name!r}{hint}")
    return given


def _host(host: str, port: str, default: int) -> tuple[str, int]:
    if host.startswith("["):
        try:
            name = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{host} is no IPv6 address") from None
    elif _HOST.fullmatch(host):
        name = host.lower()
    else:
        raise ValueError(f"not a URL with a host, such as {FORMS}")
    number = int(port) if port else default
    if not 0 < number < 65536:
        raise ValueError(f"the port {number} is not between 1 and 65535")
    return name, number


def _socket(host: str, path: str) -> str:
    socket = unquote(path)
    if host or len(socket) < 2 or not socket.isprintable():
        raise ValueError("it names no socket; give the path after three slashes: redis+socket:///path/to/redis.sock")
    return socket


def _tls(query: Mapping[str, str]) -> dict[str, str | bool]:
    """The parameters of TLS. Certificates are checked unless the URL says otherwise; kombu's default checks none."""
    asked = query.get("ssl_cert_reqs", "required")
    checks = asked.lower().removeprefix("cert_")
    if checks not in CERTIFICATE_CHECKS:
        raise ValueError(f"ssl_cert_reqs={asked} is none of {', '.join(CERTIFICATE_CHECKS)}")
    tls: dict[str, str | bool] = {name: query[name] for name in TLS_FILES if query.get(name)}
    tls["ssl_cert_reqs"] = checks
    if "ssl_check_hostname" in query:
        if query["ssl_check_hostname"].lower() not in ("true", "false"):
            raise ValueError(f"ssl_check_hostname={query['ssl_check_hostname']} is neither true nor false")
        tls["ssl_check_hostname"] = query["ssl_check_hostname"].lower() == "true"
    return tls
