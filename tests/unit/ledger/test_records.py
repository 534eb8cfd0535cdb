"""Records come out of the ledger as they went in; one that is malformed anywhere is refused with id and path."""

import uuid
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmig.errors import TerminalError
from qmig.ledger.findings import Checks, FindingKind, Findings
from qmig.ledger.ledger import Ledger
from qmig.ledger.reconciliation import ChunkIds, IdComparison, Reconciliation, Tally
from qmig.ledger.records import (
    ChunkRecord,
    JobKind,
    MigrationRecord,
    RangeOf,
    RecordKind,
    State,
)
from qmig.ledger.rejects import RejectRecord
from qmig.migration import Endpoint, Migration, Options, Routing, SourceSpec, TargetSpec
from qmig.qdrant import messages as api
from qmig.qdrant.payload import from_payload, to_payload
from qmig.qdrant.server import Server
from tests.support.malformed import ANY_JSON, changed, paths

DEFINITION = Migration(
    SourceSpec("qdrant", Endpoint("a", 1, True, "PEM"), "products", "db", ("eu",)),
    TargetSpec(Endpoint("b", 2), "copy"),
    Options(batch_size=7),
    Routing(shard_key="eu"),
)
FINDINGS = Findings(missing=2, ids={FindingKind.MISSING: ["1", "2"]}, first="a", refused="b")
MIGRATION = MigrationRecord(
    DEFINITION.id,
    DEFINITION,
    max_rate=5,
    before={"eu": 3},
    final_settings="AA==",
    started=1.5,
    finished=2.5,
    reconciliation=Reconciliation(
        read=3,
        ids=IdComparison(3, ChunkIds("5", 2), lost=Tally(1, ["1 in […, …)"]), changed_partitions=['"eu"']),
        unread_partitions=["shard key 7"],
        changes=["a"],
        errors=["a"],
        notices=["a"],
    ),
    comparison=IdComparison(1, ChunkIds("5", 2)),
    source_settings={"vector 'a'": "size 4"},
    waiting="a",
    error="b",
    checks=Checks(share=0.5),
    findings=FINDINGS,
)
CHUNK = ChunkRecord(
    DEFINITION.id,
    3,
    '"eu"',
    "1",
    "9",
    offset="5",
    owner="host/1/2/3/4",
    retry_reasons={"target unavailable": 2},
    waiting="a",
    error="b",
    findings=FINDINGS,
)
REJECT = RejectRecord(DEFINITION.id, 3, '"eu"', "5", "5", "too large", 7)
RECORDS = {type(record): record for record in (MIGRATION, CHUNK, REJECT)}
#: Every field. A field of a map with free keys has no name in an error's path.
PLACES = [
    (kind, path)
    for kind, record in RECORDS.items()
    for path in paths(msgspec.to_builtins(record))
    if path[-2:-1] not in [("before",), ("retry_reasons",), ("ids",), ("source_settings",)]
]


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    """A ledger that is never called."""
    with Server(Endpoint("127.0.0.1", 1), "target", None, False) as server:
        yield Ledger(server, "offsets")


def point_of(payload: dict[str, Any]) -> api.RetrievedPoint:
    return api.RetrievedPoint(id=api.PointId(uuid=str(uuid.UUID(int=7))), payload=to_payload(payload))


def refusal(ledger: Ledger, kind: type, payload: dict[str, Any]) -> str:
    """The ledger's error about a record with this payload."""
    with pytest.raises(TerminalError) as refused:
        ledger.parse(kind, point_of(payload))
    return one_line(refused.value)


def one_line(error: TerminalError) -> str:
    said = str(error)
    assert said.isprintable()
    assert len(said) < 500
    assert said.startswith(
        f"the record {uuid.UUID(int=7)} in the ledger 'offsets' at http://127.0.0.1:1 is malformed: "
    )
    return said


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: type(record).__name__)
def test_a_record_with_every_field_comes_back_as_it_was(ledger: Ledger, record: Any) -> None:
    payload = {"record": "some kind", **msgspec.to_builtins(record)}
    assert ledger.parse(type(record), point_of(payload)) == record


@pytest.mark.parametrize(("kind", "path"), PLACES)
def test_a_value_of_the_wrong_type_is_refused_with_its_path(
    ledger: Ledger, kind: type, path: tuple[str, ...]
) -> None:
    said = refusal(ledger, kind, changed(msgspec.to_builtins(RECORDS[kind]), path, [[]]))
    assert f"`$.{'.'.join(path)}" in said


@pytest.mark.parametrize("kind", RECORDS)
def test_a_missing_field_is_refused_with_its_name(ledger: Ledger, kind: type) -> None:
    payload = msgspec.to_builtins(RECORDS[kind])
    required = [one.name for one in fields(kind) if MISSING is one.default is one.default_factory]
    assert required
    for name in required:
        said = refusal(ledger, kind, {other: value for other, value in payload.items() if other != name})
        assert f"missing required field `{name}`" in said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "gone"),
        ("owner", "garbage"),
        ("migration", "garbage"),
        ("index", -2),
        ("read", -1),
        ("read", True),
        ("read", 1.0),
        ("read", 2**64),
        ("seconds", float("nan")),
        ("range_of", "elsewhere"),
        ("state", "done\nTraceback"),
    ],
)
def test_a_value_that_a_chunk_cannot_have_is_refused(ledger: Ledger, field: str, value: Any) -> None:
    said = refusal(ledger, ChunkRecord, {**msgspec.to_builtins(CHUNK), field: value})
    assert f"at `$.{field}`" in said


@pytest.mark.parametrize("kind", RECORDS)
def test_a_field_of_a_newer_qmig_is_ignored(ledger: Ledger, kind: type) -> None:
    payload = {**msgspec.to_builtins(RECORDS[kind]), "newer": {"field": 1}}
    assert ledger.parse(kind, point_of(payload)) == RECORDS[kind]


@pytest.mark.parametrize("path", [(), ("source",), ("source", "endpoint"), ("target",), ("options",), ("routing",)])
def test_an_unknown_option_in_a_definition_is_refused(ledger: Ledger, path: tuple[str, ...]) -> None:
    place = ("definition", *path)
    said = refusal(ledger, MigrationRecord, changed(msgspec.to_builtins(MIGRATION), (*place, "newer"), True))
    assert f"unknown field `newer` - at `$.{'.'.join(place)}`" in said
    assert "use the newer qmig that may have written it" in said


@given(place=st.sampled_from(PLACES), value=ANY_JSON)
def test_whatever_stands_there_is_read_or_refused_in_one_line(
    ledger: Ledger, place: tuple[type, tuple[str, ...]], value: Any
) -> None:
    kind, path = place
    try:
        point = point_of(changed(msgspec.to_builtins(RECORDS[kind]), path, value))
    except (UnicodeEncodeError, OverflowError):
        # No payload can hold that.
        return
    try:
        ledger.parse(kind, point)
    except TerminalError as error:
        one_line(error)


TEXTS = st.text(st.characters(codec="utf-8"))
COUNTS = st.integers(0, 2**63 - 1)
CHUNKS = st.builds(
    ChunkRecord,
    migration=st.uuids().map(str),
    index=st.integers(-1, 2**63 - 1),
    partition=st.none() | TEXTS,
    start=st.none() | TEXTS,
    end=st.none() | TEXTS,
    state=st.sampled_from(State),
    offset=st.none() | TEXTS,
    read=COUNTS,
    bytes=COUNTS,
    owner=st.sampled_from(["", "host/1/2/3/4"]),
    heartbeat=COUNTS,
    retry_reasons=st.dictionaries(TEXTS, COUNTS),
    error=st.none() | TEXTS,
    seconds=st.floats(0, allow_nan=False, allow_infinity=False),
    range_of=st.sampled_from(RangeOf),
    findings=st.none()
    | st.builds(Findings, missing=COUNTS, ids=st.dictionaries(st.sampled_from(FindingKind), st.lists(TEXTS))),
)


@given(chunk=CHUNKS)
def test_every_chunk_comes_back_as_it_was(ledger: Ledger, chunk: ChunkRecord) -> None:
    assert ledger.parse(ChunkRecord, point_of(msgspec.to_builtins(chunk))) == chunk


def test_a_verification_is_named_after_its_migration() -> None:
    verification = MigrationRecord(DEFINITION.verification_id, DEFINITION, job=JobKind.VERIFY)
    assert (MIGRATION.title, verification.title) == ("products → copy", "verify products → copy")


def test_states_and_kinds_are_plain_text_in_the_ledger() -> None:
    payload = from_payload(to_payload(msgspec.to_builtins({"state": State.DONE, "record": RecordKind.CHUNK})))
    assert {name: (type(value), value) for name, value in payload.items()} == {
        "state": (str, "done"),
        "record": (str, "chunk"),
    }
