"""The documents say what the program does: every command and option, every field of the ledger, no dead link."""

import html
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import markdown
import pytest

from qmig.cli import qmig
from qmig.errors import IncompleteError, Interrupted, TerminalError, UsageError, VerificationError
from qmig.ledger.records import LEDGER_VERSION, ChunkRecord, MigrationRecord, State
from qmig.ledger.rejects import RejectRecord
from qmig.migration import MAX_BATCH_BYTES, Options

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCS = ROOT / "docs"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md", *sorted(DOCS.rglob("*.md"))]
# Options of other programs, and of an example, that the documents call.
FOREIGN = {"--skip-key", "--scale", "--build", "--detach", "--rm"}
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
    """The text in backticks and in indented blocks."""
    blocks = re.findall(r"^    .*$", text, re.M)
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks])


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    """The generated reference as text, by command."""
    text = (DOCS / "commands.md").read_text()
    page = markdown.markdown(text, extensions=["attr_list", "fenced_code", "mkdocs-click"])
    sections = re.split(r"<h\d[^>]*>(qmig[\w -]*)</h\d>", page)
    return {
        words: html.unescape(re.sub(r"<[^>]+>", "", section))
        for words, section in zip(sections[1::2], sections[2::2], strict=True)
    }


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_stands_in_the_reference_with_its_help(words: str, reference: dict[str, str]) -> None:
    help_text = COMMANDS[words].help
    assert help_text is not None
    first = " ".join(help_text.partition("\n\n")[0].split())
    assert first in " ".join(reference[words].split())


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_of_a_command_stands_in_the_reference(words: str, reference: dict[str, str]) -> None:
    lines = re.findall(r"^  (-.*)$", reference[words], re.M)
    listed = {name for line in lines for name in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line.partition("  ")[0])}
    assert {name for name in options(COMMANDS[words]) if "." not in name} - listed == set()


def test_every_name_of_the_other_tools_options_stands_in_the_pages_on_sources() -> None:
    """The reference leaves these out, as the help does."""
    written = code("".join((DOCS / page).read_text() for page in ("qdrant.md", "milvus.md")))
    dotted = {name for command in COMMANDS.values() for name in options(command) if "." in name}
    assert dotted - set(re.findall(r"--[a-z][a-z.-]*[a-z]", written)) == set()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_a_page_to_begin_with_has_no_table_of_options(page: str) -> None:
    assert re.findall(r"^\| `-", (ROOT / page).read_text(), re.M) == []


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


@pytest.mark.parametrize("dead", ["[x](nothing.md)", "[x](commands.md#qmig-nothing)"])
def test_a_dead_link_or_anchor_fails_the_build_of_the_site(dead: str, tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    make = [
        "make",
        "--no-print-directory",
        "--dry-run",
        f"VENV={sys.prefix}",
        "-f",
        str(ROOT / "Makefile"),
        "STAMP=",
        "docs",
    ]
    command = subprocess.run(make, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    page = tmp_path / "docs" / "words.md"

    whole = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, cwd=tmp_path)
    page.write_text(f"{page.read_text()}\n{dead}\n")
    broken = subprocess.run(command, shell=True, check=False, capture_output=True, text=True, cwd=tmp_path)

    assert whole.returncode == 0, whole.stderr
    assert broken.returncode != 0
    assert dead.partition("(")[2].rstrip(")") in broken.stderr


@pytest.mark.parametrize("record", [MigrationRecord, ChunkRecord, RejectRecord])
def test_every_field_of_a_record_stands_in_the_ledgers_page(record: type) -> None:
    documented = code((ROOT / "docs" / "ledger.md").read_text()).splitlines()
    assert {field.name for field in fields(record)} <= set(documented)


def test_every_state_and_the_version_stand_in_the_ledgers_page() -> None:
    text = (ROOT / "docs" / "ledger.md").read_text()
    states = {value for name, value in vars(State).items() if name.isupper()}
    assert states <= set(code(text).splitlines())
    assert f"has version {LEDGER_VERSION}." in text


def test_defaults_in_the_documents_are_those_of_the_program() -> None:
    text = (DOCS / "operating.md").read_text()
    assert f"{Options().batch_bytes / MEBIBYTE:g} MiB by default, {MAX_BATCH_BYTES // MEBIBYTE} MiB at most" in text


def test_exit_statuses_in_the_documents_are_those_of_the_program() -> None:
    text = (DOCS / "exit-statuses.md").read_text()
    documented = set(map(int, re.findall(r"^\| (\d+) \|", text, re.M)))
    assert documented == {
        0,
        *(
            error.exit_status
            for error in (TerminalError, UsageError, IncompleteError, VerificationError, Interrupted)
        ),
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_in_a_document_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z_]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^    |`)make (?:[A-Z]+=\S+ )*([a-z_]+)", document.read_text(), re.M)) <= targets


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


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 160
