"""Only a process with the same secret can open an access grant, and gets back what was sealed."""

import json

import pytest
from msgspec.structs import replace

from qmig.broker.access import AccessGrant
from qmig.broker.queues import PLAIN_QUEUE, queue_name
from qmig.broker.sealing import SECRET_VARIABLE, new_secret
from qmig.broker.task import ChunkTask, MigrationTask
from qmig.errors import TerminalError, UsageError
from qmig.ledger.records import JobKind, MigrationRecord
from qmig.migration import Credentials, Endpoint, Migration, Options, SourceSpec, TargetSpec, redacted

MIGRATION = Migration(
    SourceSpec("qdrant", Endpoint("a", 6334, True, "-----BEGIN CERTIFICATE-----"), "products"),
    TargetSpec(Endpoint("b", 6334), "products"),
    Options(skip_tls_verification=True),
)
KEYS = Credentials("source-geheim", "target-geheim", "root", "password-geheim")


@pytest.fixture(autouse=True)
def _no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)


def test_it_comes_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = AccessGrant.of(MIGRATION, Credentials())
    assert AccessGrant.from_text(plain.to_text()) == plain
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    for access in (plain, AccessGrant.of(MIGRATION, KEYS)):
        text = access.to_text()
        assert AccessGrant.from_text(text) == access
        assert "geheim" not in text
        assert MIGRATION.id not in text


def test_credentials_do_not_travel_without_a_secret() -> None:
    with pytest.raises(UsageError, match="QMIG_SECRET_KEY is not set"):
        AccessGrant.of(MIGRATION, KEYS).to_text()


def test_only_the_same_secret_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = AccessGrant.of(MIGRATION, Credentials()).to_text()
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    sealed = AccessGrant.of(MIGRATION, KEYS).to_text()
    queues = {PLAIN_QUEUE, queue_name()}
    with pytest.raises(TerminalError, match="it is not sealed, and this worker has"):
        AccessGrant.from_text(plain)
    for changed in (sealed[:-5] + "AAAA=", sealed[1:], "gAAAAA"):
        with pytest.raises(TerminalError, match="not sealed with this worker's"):
            AccessGrant.from_text(changed)
    monkeypatch.setenv(SECRET_VARIABLE, new_secret())
    with pytest.raises(TerminalError, match="not sealed with this worker's"):
        AccessGrant.from_text(sealed)
    assert queue_name() not in queues
    monkeypatch.delenv(SECRET_VARIABLE)
    with pytest.raises(TerminalError, match="it is sealed, and this worker has no"):
        AccessGrant.from_text(sealed)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": 1}, "Expected `object`, got `int` - at `$.source`"),
        ({"source": {"host": "a"}}, "missing required field `port` - at `$.source`"),
        ({"target": {"host": "a", "port": "6334"}}, "got `str` - at `$.target.port`"),
        ({"target": {"host": "a", "port": True}}, "got `bool` - at `$.target.port`"),
        ({"target": {"host": "a", "port": 1, "shell": "rm"}}, "unknown field `shell` - at `$.target`"),
        ({"ledger": None}, "got `null` - at `$.ledger`"),
        ({"shell": "rm"}, "unknown field `shell`"),
        ({"skip_tls_verification": "no"}, "got `str` - at `$.skip_tls_verification`"),
    ],
)
def test_a_malformed_one_is_named(change: dict[str, object], said: str) -> None:
    given = {**json.loads(AccessGrant.of(MIGRATION, Credentials()).to_text()), **change}
    with pytest.raises(TerminalError, match="its access is malformed") as refused:
        AccessGrant.from_text(json.dumps(given))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        replace(MIGRATION, options=Options()),
        replace(MIGRATION, source=replace(MIGRATION.source, endpoint=Endpoint("c", 6334, True))),
        replace(MIGRATION, source=replace(MIGRATION.source, collection="other")),
        replace(MIGRATION, target=replace(MIGRATION.target, endpoint=Endpoint("c", 6334))),
        replace(MIGRATION, target=replace(MIGRATION.target, ledger="other")),
    ],
    ids=["checks", "source", "collection", "target", "ledger"],
)
def test_a_task_with_other_ends_than_its_ledger_is_refused(changed: Migration) -> None:
    access = AccessGrant.of(MIGRATION, KEYS)
    access.check(recorded(MIGRATION))
    with pytest.raises(TerminalError, match="has other ends in its ledger"):
        access.check(recorded(changed))


def test_a_verification_has_an_access_of_its_own() -> None:
    access = AccessGrant.of(MIGRATION, KEYS, JobKind.VERIFY)
    assert access.migration == MIGRATION.verification_id != MIGRATION.id
    access.check(recorded(MIGRATION, JobKind.VERIFY))
    with pytest.raises(TerminalError, match="has other ends in its ledger"):
        access.check(recorded(MIGRATION))


def recorded(migration: Migration, job: JobKind = JobKind.COPY) -> MigrationRecord:
    return MigrationRecord(migration.id, migration, job=job)


def test_a_task_comes_back_as_it_was() -> None:
    task = MigrationTask(migration=MIGRATION.id, access="…")
    first = ChunkTask(migration_task=task, run="a-run", chunk=3)
    again = ChunkTask(migration_task=task, run="a-run", chunk=3, abandoned=("host/1/2/3/4", 7))
    for sent in (task, first, again):
        assert type(sent).from_kwargs(json.loads(json.dumps(sent.to_kwargs()))) == sent


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://a:6379/0", "redis://a:6379/0"),
        ("redis://:geheim@a:6379/0", "redis://***@a:6379/0"),
        ("rediss://user:ge@heim@a/0", "rediss://***@a/0"),
        ("rediss://a/0?ssl_password=geheim&db=1", "rediss://a/0?ssl_password=***&db=1"),
        ("redis://a/0?db=1&password=ge@heim", "redis://a/0?db=1&password=***"),
        ("user:geheim@a", "***@a"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redacted(url) == shown
