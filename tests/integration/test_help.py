"""The command line: every option has help, the Go tool's names work, global options are accepted in either place."""

import platform
import re
import shlex
from importlib.metadata import version
from typing import Any

import click
import pytest

from qmig.cli import COMMANDS
from qmig.cli import qmig as program
from qmig.cli.source_command import source_command, summary
from qmig.sources.registry import KINDS
from tests.support.collections import create, dense_params
from tests.support.command import Run
from tests.support.ends import Ends
from tests.support.migrations import fill_source

# The Go tool's names of the options, by qmig's names, with a value where one is needed.
DOTTED = {
    "--source.url": ("--source-url", "http://localhost:1"),
    "--source.collection": ("--source-collection", "a"),
    "--source.api-key": ("--source-api-key", "key"),
    "--target.url": ("--target-url", "http://localhost:2"),
    "--target.collection": ("--target-collection", "b"),
    "--target.api-key": ("--target-api-key", "key"),
    "--target.ensure-payload-indexes": ("--ensure-payload-indexes", None),
    "--target.shard-key": ("--target-shard-key", "eu"),
    "--target.shard-key-field": ("--target-shard-key-field", "region"),
    "--migration.batch-size": ("--batch-size", "7"),
    "--migration.batch-delay": ("--batch-delay", "20"),
    "--migration.num-workers": ("--workers", "3"),
    "--migration.restart": ("--restart-migration", None),
    "--migration.create-collection": ("--create-target-collection", None),
    "--migration.offsets-collection": ("--migration-offsets-collection-name", "ledger"),
}
OPTIONS = {
    *(dashed for dashed, _ in DOTTED.values()),
    "-b",
    "-c",
    "--batch-bytes",
    "--broker-url",
    "--chunk-size",
    "--dry-run",
    "--debug",
    "--trace",
    "--skip-tls-verification",
    "--version",
    "-h",
    "--help",
}
REQUIRED = [
    "--source-url", "http://localhost:1", "--source-collection", "a",
    "--target-url", "http://localhost:2", "--target-collection", "b",
]  # fmt: skip
NAMES = [*KINDS, *COMMANDS]
SWITCHES = {name: names for name, names in DOTTED.items() if names[1] is None}


def commands() -> dict[str, click.Command]:
    """Every command by its words, also those of groups."""
    found: dict[str, click.Command] = {}
    context = click.Context(program)
    for name in NAMES:
        command = program.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found.update({f"{name} {below}": one for below, one in command.commands.items()})
    return found


def parsed(*arguments: str) -> dict[str, Any]:
    """The values that `qmig qdrant` parses."""
    with source_command(KINDS["qdrant"]).make_context("qdrant", list(arguments)) as context:
        return context.params


def options_of(*arguments: str) -> dict[str, Any]:
    """The values that `qmig qdrant` parses beyond the required options."""
    return parsed(*REQUIRED, *arguments)


@pytest.mark.parametrize("name", [*NAMES, "embedded qdrant"])
def test_every_command_and_option_has_help(name: str) -> None:
    command = commands()[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert parameter.help.endswith((".", "…")), f"{name} {parameter.opts}: {parameter.help}"


@pytest.mark.parametrize(
    "name", [*(name for name in COMMANDS if name not in ("demo", "embedded")), "embedded qdrant"]
)
def test_every_command_has_an_example_that_it_understands(name: str) -> None:
    command = commands()[name]
    text = f"{command.help}\n{command.epilog or ''}"
    examples = re.findall(r"\bqmig [^\n)]*", text.partition("Example:")[2])

    assert examples, text
    for example in examples:
        program, *arguments = shlex.split(example)
        assert arguments[: len(name.split())] == name.split(), program
        with command.make_context(name, arguments[len(name.split()) :]):
            pass


def test_every_command_is_checked() -> None:
    assert set(commands()) == {*NAMES, "embedded qdrant"}


@pytest.mark.parametrize("name", ["", *NAMES, "embedded qdrant"])
def test_h_and_help_print_the_same(qmig: Run, name: str) -> None:
    short, long = (qmig(*name.split(), switch) for switch in ("-h", "--help"))

    assert short.returncode == 0, short.stderr
    assert short.stdout == long.stdout
    assert short.stdout.startswith(f"Usage: qmig {name}".strip())
    assert short.stderr == ""


def test_the_help_names_every_command_and_what_it_is_for(qmig: Run) -> None:
    printed = qmig("--help").stdout

    texts = {name: summary(name) for name in KINDS} | {name: text for name, (_, text) in COMMANDS.items()}
    for name, text in texts.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", printed, re.MULTILINE)


def test_the_help_of_qdrant_names_every_option_and_no_dotted_one(qmig: Run) -> None:
    printed = qmig("qdrant", "--help").stdout

    assert set(re.findall(r"(?<![\w.$/])--?[a-z][\w.-]*", printed.partition("Options:")[2])) >= OPTIONS
    assert not re.search(r"--(source|target|migration)\.", printed)
    for variable in ("SOURCE_API_KEY", "TARGET_API_KEY", "QMIG_BROKER_URL"):
        assert variable in printed


@pytest.mark.parametrize("dotted", DOTTED)
def test_a_dotted_name_is_the_same_option(dotted: str) -> None:
    dashed, value = DOTTED[dotted]
    arguments = [] if value is None else [value]

    as_dotted, as_dashed = options_of(dotted, *arguments), options_of(dashed, *arguments)
    with_equals = options_of(f"{dotted}={value or 'true'}")

    assert as_dotted == as_dashed == with_equals
    if dashed not in REQUIRED:
        assert as_dotted != options_of()


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_takes_the_forms_of_gos_flags(switch: str) -> None:
    for name in (switch, SWITCHES[switch][0]):
        on, off = options_of(name), options_of()
        assert on != off
        for value in ("true", "TRUE", "t", "1"):
            assert options_of(f"{name}={value}") == on
        for value in ("false", "False", "f", "0"):
            assert options_of(f"{name}={value}") == off


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_does_not_swallow_what_follows(switch: str) -> None:
    assert parsed(switch, *REQUIRED) == options_of(switch)
    assert options_of(switch, "-b", "5") == options_of("-b", "5", switch)


def test_short_names() -> None:
    assert options_of("-b", "9", "-c") == options_of("--batch-size", "9", "--create-target-collection")


def test_the_environment_holds_keys_and_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_API_KEY", "one")
    monkeypatch.setenv("TARGET_API_KEY", "two")
    monkeypatch.setenv("QMIG_BROKER_URL", "redis://three")

    understood = options_of()
    assert (understood["source_api_key"], understood["target_api_key"]) == ("one", "two")
    assert understood["broker_url"] == "redis://three"
    assert options_of("--source-api-key", "four")["source_api_key"] == "four"


def test_a_script_of_the_go_tool_runs_as_it_is(ends: Ends, qmig: Run) -> None:
    fill_source(ends, 20)
    go = [
        "--source.url", ends.source.endpoint.url, "--source.collection", ends.source_name,
        "--target.url", ends.target.endpoint.url, "--target.collection", ends.target_name,
        "--migration.offsets-collection", ends.ledger, "--migration.batch-size=20", "--migration.num-workers=2",
        "--migration.create-collection=true", "--migration.restart=false", "--migration.batch-delay", "5",
    ]  # fmt: skip

    ours = qmig("qdrant", *ends.arguments, "-c", "--dry-run")
    theirs = qmig("qdrant", *go, "--dry-run")

    assert theirs.returncode == 0, theirs.stderr
    assert theirs.stdout == ours.stdout
    assert "20 points" in theirs.stdout


@pytest.mark.parametrize("switch", ["--debug", "--trace"])
def test_a_global_option_stands_before_and_after_the_command(ends: Ends, qmig: Run, switch: str) -> None:
    create(ends.source, ends.source_name, dense_params())
    command = ["qdrant", *ends.arguments, "-c", "--dry-run"]

    plain, before, after = qmig(*command), qmig(switch, *command), qmig(*command, switch)

    for result in (before, after):
        assert result.returncode == 0, result.stderr
        assert result.stdout == plain.stdout
    assert plain.stderr == ""
    assert bool(before.stderr) == bool(after.stderr)


@pytest.mark.parametrize("command", ["--debug secret", "secret --trace", "--debug secret --debug"])
def test_debug_names_the_versions_that_an_error_may_come_from(qmig: Run, command: str) -> None:
    names = ("celery", "kombu", "flower", "pymilvus", "qdrant-client")
    packages = ", ".join(f"{name} {version(name)}" for name in names)

    logged = [line for line in qmig(*command.split()).stderr.splitlines() if "celery" in line]

    assert len(logged) == 1
    assert logged[0].endswith(f"qmig {version('qmig')}, Python {platform.python_version()}, {packages}")


def test_the_version_is_printed_before_and_after_the_command(qmig: Run) -> None:
    for arguments in (["--version"], ["qdrant", "--version"], ["worker", "--version"]):
        result = qmig(*arguments)
        assert result.returncode == 0
        assert result.stdout == f"qmig, version {version('qmig')}\n"


def test_without_a_command_the_help_is_shown(qmig: Run) -> None:
    result = qmig()

    assert result.returncode == 2
    assert "Usage: qmig" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_commands_are_loaded_only_when_they_are_called() -> None:
    assert isinstance(program, click.Group)
    assert program.list_commands(click.Context(program)) == NAMES
