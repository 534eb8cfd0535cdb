"""The definition of a migration: source, target, options and routing, and the fingerprint of both ends.

A definition is stored in the ledger. A field that this qmig does not know is refused there: it may be an option of a
newer release, and leaving it out would copy in another way than was asked for.
"""

import ipaddress
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from qmig.errors import UsageError

#: Namespace of every fingerprint; changing it would orphan every ledger.
NAMESPACE = uuid.UUID("6f1b9c52-98a5-5a36-9f0b-64a1d2a0c6d1")
#: Name of the ledger's collection in the target.
DEFAULT_LEDGER = "_migration_offsets"
#: Bytes of one upsert that --batch-bytes may ask for at most.
MAX_BATCH_BYTES = 32 * 1024 * 1024
#: A password, or a private key's password, in the query of a Redis URL.
_PASSWORD_PARAMETER = re.compile(r"(?i)([?&][^=&]*pass[^=&]*=)[^&]*")


class OnError(StrEnum):
    """The choices for a point that cannot be copied."""

    #: Its chunk fails.
    FAIL = "fail"
    #: The point is recorded as a reject, and the chunk continues.
    SKIP = "skip"


@dataclass(frozen=True)
class UrlForm:
    """The form of a kind of server's URLs."""

    #: Port where a URL names none; None where a URL names no host at all, as that of a file.
    default_port: int | None
    #: Its schemes, the preferred one first, and whether each means TLS.
    schemes: Mapping[str, bool]
    #: Whether a URL has a path, such as a file's.
    has_path: bool = False
    #: What an error calls such a URL.
    name: str = "URL"

    @property
    def examples(self) -> list[str]:
        """One URL for each scheme."""
        host = "" if self.default_port is None else f"host:{self.default_port}"
        return [f"{scheme}://{host}{'/path' if self.has_path else ''}" for scheme in self.schemes]


#: Plain and TLS-encrypted gRPC, as Qdrant and Milvus speak it.
HTTP_SCHEMES = {"http": False, "https": True}
#: A Qdrant server's gRPC endpoint.
GRPC_URL = UrlForm(6334, HTTP_SCHEMES, name="gRPC URL")


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server, as its URL names it."""

    host: str
    port: int
    #: Whether connections are encrypted.
    tls: bool = False
    #: Text of the PEM certificates to trust there; None trusts what the machine trusts.
    ca_cert: str | None = None
    #: Scheme of the URL where it is neither http nor https.
    scheme: str = ""
    #: Path of the URL where its form has one.
    path: str = ""

    @classmethod
    def parse(cls, url: str, option: str, form: UrlForm = GRPC_URL, ca_cert: str | None = None) -> "Endpoint":
        """Parse a URL of this form, such as `http://host:6334`. UsageError names `option`."""
        hint = f"give a {form.name} such as {' or '.join(form.examples)}"
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise UsageError(f"{option} {redacted(url)}: {error}; {hint}") from None
        if parts.scheme not in form.schemes or bool(parts.hostname) == (form.default_port is None):
            raise UsageError(f"{option} {redacted(url)}: its scheme or host is missing or wrong; {hint}")
        if parts.username or parts.password:
            raise UsageError(f"{option} {redacted(url)}: a URL carries no credentials; use the options for them")
        path = parts.path.rstrip("/")
        if (path and not form.has_path) or parts.query or parts.fragment:
            raise UsageError(f"{option} {redacted(url)}: a path or query has no meaning here; {hint}")
        if port == 0:
            raise UsageError(f"{option} {redacted(url)}: port 0 cannot be reached; {hint}")
        scheme = "" if parts.scheme in HTTP_SCHEMES else parts.scheme
        tls = form.schemes[parts.scheme]
        endpoint = cls(parts.hostname or "", port or form.default_port or 0, tls, scheme=scheme, path=path)
        return endpoint if ca_cert is None else endpoint.trusting(ca_cert, option)

    def trusting(self, ca_cert: str, option: str) -> "Endpoint":
        """The same server with certificates to trust; UsageError names `option`, of its URL, without TLS."""
        if not self.tls:
            raise UsageError(
                f"{option} {self.url}: trusted certificates have no meaning without TLS; give an https:// URL"
            )
        return msgspec.structs.replace(self, ca_cert=ca_cert)

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        scheme = self.scheme or ("https" if self.tls else "http")
        return f"{scheme}://{self.address if self.host else ''}{self.path}"

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def is_same_server(self, other: "Endpoint") -> bool:
        """Whether both name one server, as far as the names tell: every loopback name is one host."""
        same_host = self.host == other.host or (self.is_loopback and other.is_loopback)
        return same_host and self.port == other.port


def redacted(url: str) -> str:
    """The URL without the credentials that it may contain."""
    url = _PASSWORD_PARAMETER.sub(r"\1***", url)
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, _ = head.partition("://")
    return f"{scheme}://***@{tail}" if separator else f"***@{tail}"


class SourceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The collection to read."""

    #: The kind of source, such as `qdrant`: it names the module in `qmig.sources` that reads it.
    kind: str
    endpoint: Endpoint
    #: The collection's own name: an alias is resolved once, when the migration begins.
    collection: str
    #: The database that holds the collection; empty where the kind has none, or for the default one.
    database: str = ""
    #: The partitions to read; empty is all of them.
    partitions: tuple[str, ...] = ()
    #: Choices of this kind of source about what a point is. They are part of the plan, not of the fingerprint.
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    #: The alias that the command named the collection by; empty where it gave the collection's own name.
    alias: str = ""
    #: What identifies the collection beside its name, as its kind records it; not part of the fingerprint.
    identity: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def given(self) -> str:
        """The name by which the command named the collection; it is part of the fingerprint."""
        return self.alias or self.collection


class TargetSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The collection to write, and the ledger on the same server."""

    endpoint: Endpoint
    #: The collection's own name: an alias is resolved once, when the migration begins.
    collection: str
    #: Name of the ledger's collection.
    ledger: str = DEFAULT_LEDGER
    #: The alias that the command named the collection by; empty where it gave the collection's own name.
    alias: str = ""
    #: What identifies the collection beside its name; not part of the fingerprint.
    identity: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def given(self) -> str:
        """The name by which the command named the collection; it is part of the fingerprint."""
        return self.alias or self.collection


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a migration's copy. Workers read them from the ledger; a resume may change them."""

    #: Points in one upsert; None lets `batch_bytes` decide.
    batch_size: int | None = None
    #: Bytes that one upsert aims at.
    batch_bytes: int = 1024 * 1024
    #: Milliseconds that a worker waits after each batch.
    batch_delay_ms: int = 0
    #: Accept any certificate at both ends.
    skip_tls_verification: bool = False
    #: What happens when a point cannot be copied.
    on_error: OnError = OnError.FAIL
    #: Seconds for which a transient error is retried.
    retry_for: float = 3600.0


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The choice of the target's shard key for each point; part of the plan, so that a resume keeps it.

    With neither field set, a point keeps the shard key that it has in the source.
    """

    #: The shard key of all points, as JSON: `"eu"` or `7`.
    shard_key: str | None = None
    #: The payload field that holds a point's shard key.
    shard_key_field: str | None = None


class Migration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One copy of one source collection into one target collection."""

    source: SourceSpec
    target: TargetSpec
    options: Options = Options()
    routing: Routing = Routing()

    def __post_init__(self) -> None:
        if self.source.kind == "qdrant" and self.source.endpoint.is_same_server(self.target.endpoint):
            self.check_one_server()
        if self.target.ledger == self.target.collection:
            raise self._ledger_taken(self.target)
        if self.routing.shard_key is not None and self.routing.shard_key_field is not None:
            raise UsageError("--target-shard-key and --target-shard-key-field exclude each other; give one")

    def check_one_server(self) -> None:
        """UsageError where the source's collection is the target's or the ledger; both ends are one server."""
        if self.source.collection == self.target.collection:
            raise UsageError(
                f"source and target collections must be different: both are {self.source.collection!r} at "
                f"{self.target.endpoint.url}{_named_by(self.source)}{_named_by(self.target)}"
            )
        if self.target.ledger == self.source.collection:
            raise self._ledger_taken(self.source)

    def _ledger_taken(self, end: SourceSpec | TargetSpec) -> UsageError:
        return UsageError(
            f"the ledger {self.target.ledger!r} cannot be the collection that is copied{_named_by(end)}; "
            "give another --migration-offsets-collection-name"
        )

    @property
    def id(self) -> str:
        """The fingerprint: a UUID that is the same for the same ends, whatever the options."""
        source = self.source
        ends = {
            "kind": source.kind,
            "host": source.endpoint.host,
            "port": source.endpoint.port,
            "database": source.database,
            **({"path": source.endpoint.path} if source.endpoint.path else {}),
            "collection": source.given,
            "partitions": sorted(source.partitions),
            "filter": None,
            "target_collection": self.target.given,
        }
        canonical = json.dumps(ends, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return str(uuid.uuid5(NAMESPACE, canonical))

    @property
    def verification_id(self) -> str:
        """The id of the migration's only verification."""
        return str(uuid.uuid5(uuid.UUID(self.id), "verify"))

    @property
    def title(self) -> str:
        """Both collections, for people."""
        return f"{self.source.given} → {self.target.given}"


def _named_by(end: SourceSpec | TargetSpec) -> str:
    return f", which the alias {end.alias!r} names" if end.alias else ""


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The credentials for both servers; no representation shows them."""

    source_api_key: str | None = None
    target_api_key: str | None = None
    source_username: str | None = None
    source_password: str | None = None

    def __repr__(self) -> str:
        return "Credentials(***)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The fields that rich shows; a Struct shows all of them."""
        return []

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))
