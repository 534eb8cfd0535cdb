"""A task or an access grant that is malformed anywhere is refused in one line that names the place."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmig.broker.access import AccessGrant
from qmig.broker.sealing import SECRET_VARIABLE
from qmig.broker.task import TASK_VERSION, ChunkTask, MigrationTask
from qmig.errors import TerminalError
from qmig.ledger.records import JobKind
from qmig.migration import Credentials, Endpoint, Migration, Options, SourceSpec, TargetSpec
from tests.support.malformed import ANY_JSON, changed, paths, without

MIGRATION_TASK = MigrationTask(migration="a-migration", access="a-grant")
CHUNK_TASK = ChunkTask(migration_task=MIGRATION_TASK, run="a-run", chunk=7, abandoned=("host/1/2/3/4", 5))
GRANT = AccessGrant("a-migration", Endpoint("a", 1, True, "PEM"), Endpoint("b", 2), "ledger")

Read = Callable[[dict[str, Any]], object]
READERS: dict[str, tuple[dict[str, Any], Read]] = {
    "migration task": (MIGRATION_TASK.to_kwargs(), MigrationTask.from_kwargs),
    "chunk task": (json.loads(json.dumps(CHUNK_TASK.to_kwargs())), ChunkTask.from_kwargs),
    "grant": (json.loads(GRANT.to_text()), lambda fields: AccessGrant.from_text(json.dumps(fields))),
}
PLACES = [(kind, path) for kind, (fields, _) in READERS.items() for path in paths(fields) if path != ("version",)]
#: Fields that may be left out.
OPTIONAL = ("abandoned", "tls", "ca_cert", "scheme", "path", "skip_tls_verification", "credentials")


@pytest.fixture(autouse=True, scope="module")
def _no_secret() -> Any:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(SECRET_VARIABLE, raising=False)
        yield


def refusal(kind: str, fields: dict[str, Any]) -> str:
    """The reader's error about these fields."""
    with pytest.raises(TerminalError) as refused:
        READERS[kind][1](fields)
    return one_line(refused.value)


def one_line(error: TerminalError) -> str:
    assert str(error).isprintable()
    assert len(str(error)) < 400
    return str(error)


@pytest.mark.parametrize(("kind", "path"), PLACES)
def test_a_value_of_the_wrong_type_is_refused_with_its_path(kind: str, path: tuple[str, ...]) -> None:
    assert f"`$.{'.'.join(path)}" in refusal(kind, changed(READERS[kind][0], path, [[]]))


@pytest.mark.parametrize(("kind", "path"), [*PLACES, *((kind, ("x",)) for kind in READERS)])
def test_an_unknown_field_is_refused_with_its_name(kind: str, path: tuple[str, ...]) -> None:
    said = refusal(kind, changed(READERS[kind][0], (*path[:-1], "shell"), "rm"))
    assert "unknown field `shell`" in said
    assert "".join(f".{name}" for name in path[:-1]) in said


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind, path in PLACES if not set(path) & set(OPTIONAL)])
def test_a_missing_field_is_refused_with_its_name(kind: str, path: tuple[str, ...]) -> None:
    assert f"missing required field `{path[-1]}`" in refusal(kind, without(READERS[kind][0], path))


@given(place=st.sampled_from(PLACES), value=ANY_JSON, name=st.text())
def test_whatever_stands_there_is_read_or_refused_in_one_line(
    place: tuple[str, tuple[str, ...]], value: Any, name: str
) -> None:
    kind, path = place
    good, read = READERS[kind]
    for fields in (changed(good, path, value), changed(good, (*path[:-1], name), value)):
        try:
            read(fields)
        except TerminalError as error:
            one_line(error)


@given(version=ANY_JSON.filter(lambda version: version is not TASK_VERSION))
def test_any_other_version_is_refused(version: Any) -> None:
    if version != TASK_VERSION or isinstance(version, bool | float):
        assert "this worker knows version" in refusal("chunk task", {**READERS["chunk task"][0], "version": version})


@given(text=st.text().map(lambda text: "{" + text))
def test_a_grant_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(TerminalError, match="its access is malformed") as refused:
        AccessGrant.from_text(text)
    one_line(refused.value)


ENDPOINTS = st.builds(
    Endpoint, st.text(min_size=1), st.integers(1, 65535), st.booleans(), st.none() | st.text(min_size=1)
)
OWNERS = st.builds("host-{}/{}/{}/machine/nonce".format, st.integers(), st.integers(0, 2**22), st.integers(0))
MIGRATION_TASKS = st.builds(MigrationTask, migration=st.text(), access=st.text())
CHUNK_TASKS = st.builds(
    ChunkTask,
    migration_task=MIGRATION_TASKS,
    chunk=st.integers(0, 2**63),
    abandoned=st.none() | st.tuples(OWNERS, st.integers(0, 2**63)),
)


@given(task=MIGRATION_TASKS | CHUNK_TASKS)
def test_every_task_comes_back_as_it_was(task: MigrationTask | ChunkTask) -> None:
    assert type(task).from_kwargs(json.loads(json.dumps(task.to_kwargs()))) == task


@given(source=ENDPOINTS, target=ENDPOINTS, ledger=st.text(), skip=st.booleans(), job=st.sampled_from(JobKind))
def test_every_grant_comes_back_as_it_was(
    source: Endpoint, target: Endpoint, ledger: str, skip: bool, job: JobKind
) -> None:
    migration = Migration(
        SourceSpec("milvus", source, "products"),
        TargetSpec(target, "copy", f"ledger-{ledger}"),
        Options(skip_tls_verification=skip),
    )
    grant = AccessGrant.of(migration, Credentials(), job)
    assert AccessGrant.from_text(grant.to_text()) == grant
