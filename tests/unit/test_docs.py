"""The documents say what the program does: every command and option, every field of the ledger, no dead link."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from qmig.cli import qmig
from qmig.errors import IncompleteError, Interrupted, TerminalError, UsageError, VerificationError
from qmig.ledger.records import LEDGER_VERSION, ChunkRecord, MigrationRecord, State
from qmig.ledger.rejects import RejectRecord
from qmig.migration import MAX_BATCH_BYTES, Options

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Options of other programs that the documents call.
FOREIGN = {"--scale", "--build", "--detach", "--rm"}
MEBIBYTE = 1024 * 1024


def commands(group: click.Group = qmig, words: tuple[str, ...] = ("qmig",)) -> Iterator[tuple[str, click.Command]]:
    """Every command of the program with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


def options(command: click.Command) -> set[str]:
    context = click.Context(command, **command.context_settings)
    return {
        name
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option)
        for name in parameter.opts
    }


COMMANDS = dict(commands())
OPTIONS = {name for command in (qmig, *COMMANDS.values()) for name in options(command)}
BENCHMARK_OPTIONS = {
    name
    for program in ("throughput.py", "planning.py")
    for name in re.findall(r"--[a-z][a-z-]*", (ROOT / "benchmarks" / program).read_text())
}


def code(text: str) -> str:
    """What stands in backticks or in an indented block."""
    blocks = re.findall(r"^    .*$", text, re.M)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks])


@pytest.fixture(scope="module")
def documented() -> str:
    """The code in the README and in docs."""
    return "\n".join(code(path.read_text()) for path in DOCUMENTS if path.parent.name != "benchmarks")


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_stands_in_the_documents(words: str, documented: str) -> None:
    assert words in documented


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_of_a_command_stands_in_the_documents(words: str, documented: str) -> None:
    mentioned = set(re.findall(r"(?<![\w-])--?[a-z][a-z.-]*", documented))
    assert options(COMMANDS[words]) - mentioned == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_option_in_a_document_exists(document: Path) -> None:
    known = OPTIONS | FOREIGN | (BENCHMARK_OPTIONS if document.parent.name == "benchmarks" else set())
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z.-]*[a-z]", code(document.read_text())))
    assert mentioned - known == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_line_in_a_document_is_a_command(document: Path) -> None:
    for line in re.findall(r"(?:^    |`)(?:\$ )?(qmig [a-z].*?)(?:`|$)", document.read_text(), re.M):
        assert any(line.startswith(words) for words in COMMANDS), line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("record", [MigrationRecord, ChunkRecord, RejectRecord])
def test_every_field_of_a_record_stands_in_the_ledgers_page(record: type) -> None:
    documented = code((ROOT / "docs" / "ledger.md").read_text()).splitlines()
    assert {field.name for field in fields(record)} <= set(documented)


def test_every_state_and_the_version_stand_in_the_ledgers_page() -> None:
    text = (ROOT / "docs" / "ledger.md").read_text()
    states = {value for name, value in vars(State).items() if name.isupper()}
    assert states <= set(code(text).splitlines())
    assert f"has version {LEDGER_VERSION}." in text


def test_defaults_in_the_readme_are_those_of_the_program() -> None:
    text = README.read_text()
    assert f"{Options().batch_bytes / MEBIBYTE:g} MiB by default, {MAX_BATCH_BYTES // MEBIBYTE} MiB at most" in text


def test_exit_statuses_in_the_readme_are_those_of_the_program() -> None:
    documented = set(map(int, re.findall(r"^\| (\d+) \|", README.read_text(), re.M)))
    assert documented == {
        0,
        *(
            error.exit_status
            for error in (TerminalError, UsageError, IncompleteError, VerificationError, Interrupted)
        ),
    }


@pytest.mark.parametrize("document", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_make_targets_in_a_document_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.M))
    mentioned = set(re.findall(r"(?:^    |`)make (?:[A-Z]+=\S+ )*([a-z_]+)", document.read_text(), re.M))
    assert mentioned
    assert mentioned <= targets


def test_contributing_maps_every_package_in_the_direction_of_imports() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    layers = [{name.strip().replace(".", "/") for name in layer.split(":")} for layer in contract["layers"]]
    rows = re.findall(r"^\| (`(?:qmig/|workers).*?`) \|", CONTRIBUTING.read_text(), re.M)
    mapped = [name.removesuffix(".py") for row in rows for name in re.findall(r"`([^`]+)`", row)]
    for layer in layers:
        assert set(mapped[: len(layer)]) == layer
        del mapped[: len(layer)]
    assert mapped == []


def test_contributing_names_the_variables_of_the_tests() -> None:
    code_of_tests = " ".join(path.read_text() for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    used = set(re.findall(r"\"(QMIG_TEST_[A-Z_]+)\"", code_of_tests))
    assert used == set(re.findall(r"`(QMIG_TEST_\w+)`", CONTRIBUTING.read_text()))
