""".github: valid by GitHub's schemas; workflows call targets of the Makefile and contain no logic."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tools.release import BRANCH

ROOT = Path(__file__).parents[3]
GITHUB = ROOT / ".github"
SCHEMAS = {
    "workflows/ci.yml": "vendor.github-workflows",
    "workflows/release.yml": "vendor.github-workflows",
    "ISSUE_TEMPLATE/bug.yml": "vendor.github-issue-forms",
    "ISSUE_TEMPLATE/feature.yml": "vendor.github-issue-forms",
    "ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
}
MAKE = r"(?:sudo )?make (?P<target>[a-z_]+)(?P<variables>(?: [A-Z]+=\w+)*)"


def load(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(path)
    return loaded


CI = load(GITHUB / "workflows" / "ci.yml")
RELEASE = load(GITHUB / "workflows" / "release.yml")
JOBS = {**CI["jobs"], **RELEASE["jobs"]}
STEPS = [step for job in JOBS.values() for step in job.get("steps", [])]
RUNS = sorted({step["run"] for step in STEPS if "run" in step})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=ROOT, check=False, capture_output=True, text=True)


def test_every_file_has_a_schema() -> None:
    assert {str(path.relative_to(GITHUB)) for path in GITHUB.rglob("*.yml")} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_file_is_valid_by_its_schema(name: str) -> None:
    checked = run(sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[name], str(GITHUB / name))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("command", RUNS)
def test_a_step_is_a_target_that_make_can_carry_out(command: str) -> None:
    call = re.fullmatch(MAKE, command)
    assert call is not None, command
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(), re.M)
    assert call["target"] in phony.split()
    planned = run("make", "--dry-run", call["target"], *call["variables"].split())
    assert planned.returncode == 0, planned.stderr


def test_a_step_is_a_target_or_an_action_of_a_fixed_version() -> None:
    for step in STEPS:
        assert ("run" in step) != ("uses" in step), step
        if "uses" in step:
            assert re.search(r"@(v\d+|release/v\d+|[0-9a-f]{40})$", step["uses"]), step


def test_every_job_ends() -> None:
    for name, job in JOBS.items():
        assert "timeout-minutes" in job or job["uses"] == "./.github/workflows/ci.yml", name


def test_every_python_that_the_package_names_is_tested() -> None:
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = [one.rpartition(" ")[2] for one in classifiers if re.search(r"Python :: 3\.\d+$", one)]
    assert CI["jobs"]["unit"]["strategy"]["matrix"]["python"] == named


def test_changes_pull_requests_and_every_night_are_tested_and_so_is_a_release() -> None:
    assert {"push", "pull_request", "schedule", "workflow_call"} == set(CI["on"])
    assert RELEASE["jobs"]["tests"]["uses"] == "./.github/workflows/ci.yml"
    assert CI["jobs"]["newest"]["if"] == "github.event_name == 'schedule'"


@pytest.mark.parametrize("branch", ["release/v0.2.0", "release/v10.20.30", "release/v1.0", "release/1.0.0", "main"])
def test_the_branches_that_release_are_those_that_the_check_takes(branch: str) -> None:
    (pattern,) = RELEASE["on"]["push"]["branches"]
    # GitHub's + repeats what stands before it.
    as_expression = re.escape(pattern).replace(r"\[0\-9\]\+", "[0-9]+")
    assert bool(re.fullmatch(as_expression, branch)) == bool(BRANCH.fullmatch(branch))


def test_what_is_released_was_checked_and_tested_first() -> None:
    def needed(name: str) -> set[str]:
        needs = RELEASE["jobs"][name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else set(needs)
        return direct.union(*map(needed, direct))

    assert {"check", "tests"} <= needed("image")
    assert {"check", "tests", "packages", "image"} <= needed("publish")
    assert {"check", "tests", "packages", "image", "publish"} == needed("release")


def test_a_job_has_no_rights_that_it_does_not_need() -> None:
    assert CI["permissions"] == RELEASE["permissions"] == {"contents": "read"}
    granted = {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job}
    assert granted == {"publish": {"id-token": "write"}, "release": {"contents": "write"}}


def test_the_image_is_built_for_both_processors() -> None:
    (build,) = (step for step in STEPS if step.get("uses", "").startswith("docker/build-push-action@"))
    assert build["with"]["platforms"] == "linux/amd64,linux/arm64"
    assert build["with"]["push"] is True


def test_hooks_are_those_of_make_lint_and_run_programs_of_the_environment() -> None:
    validated = run(sys.executable, "-m", "pre_commit", "validate-config")
    assert validated.returncode == 0, validated.stdout
    assert "pre-commit run --all-files" in run("make", "--dry-run", "lint").stdout
    (repository,) = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith((".venv/bin/", "make "))
    assert {"ruff", "ruff-format", "mypy", "import-linter", "docs"} <= {hook["id"] for hook in repository["hooks"]}
