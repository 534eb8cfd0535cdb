"""The page on architecture shows the rooms, their captions and the direction of imports as they are in the code."""

import ast
import re
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = [ROOT / "workers", *sorted(path.parent for path in (ROOT / "qmig").glob("*/__init__.py"))]
GROUND_FILES = sorted(path for path in (ROOT / "qmig").glob("*.py") if not path.name.startswith("__"))
ROOMS = {path.stem for path in (*PACKAGES, *GROUND_FILES)}
ARROWS = set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.M))
SIX_ROOMS = ["workers", "broker", "jobs", "sources", "qdrant", "ledger"]


def caption(package: Path) -> str:
    """The first line of a package's docstring."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text()))
    assert text is not None
    return text.partition("\n")[0]


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "qmig" else package


def floors() -> dict[str, int]:
    """Every room's floor in the contract of import-linter, from 0 at the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = settings["contracts"]
    return {
        room.rpartition(".")[2]: floor
        for floor, layer in enumerate(contract["layers"])
        for room in layer.split(" : ")
    }


@pytest.fixture(scope="module")
def imports() -> set[tuple[str, str]]:
    """The imports between rooms."""
    graph = grimp.build_graph("qmig", "workers", cache_dir=None)
    pairs = {
        (room_of(module), room_of(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return {(one, other) for one, other in pairs if one != other and {one, other} <= ROOMS}


def reachable(room: str) -> set[str]:
    """The rooms below a room by the arrows of the picture."""
    below = {to for start, to in ARROWS if start == room}
    return below.union(*map(reachable, below))


def test_the_picture_has_every_room_and_no_other() -> None:
    assert {room for arrow in ARROWS for room in arrow} == ROOMS


def test_every_arrow_of_the_picture_is_an_import_that_runs_downwards(imports: set[tuple[str, str]]) -> None:
    assert ARROWS - imports == set()
    floor = floors()
    assert [(one, other) for one, other in ARROWS if floor[one] >= floor[other]] == []


def test_every_import_between_rooms_follows_the_arrows(imports: set[tuple[str, str]]) -> None:
    assert [(one, other) for one, other in imports if other not in reachable(one)] == []


def test_the_contract_has_every_room() -> None:
    assert set(floors()) == ROOMS


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_room_stands_in_the_table_with_its_caption(package: Path) -> None:
    assert f"| `{package.relative_to(ROOT)}/` | {caption(package)} |" in PAGE


def test_the_table_has_no_other_room() -> None:
    assert len(re.findall(r"^\| `", PAGE, re.M)) == len(PACKAGES)


@pytest.mark.parametrize(
    "package", [path.parent for top in ("qmig", "workers") for path in (ROOT / top).rglob("__init__.py")]
)
def test_every_package_has_a_caption(package: Path) -> None:
    assert caption(package).endswith(".")


def test_every_file_that_the_page_names_exists() -> None:
    named = re.findall(r"`((?:qmig|workers)/[\w/]+\.py)`", PAGE)
    assert len(named) > len(SIX_ROOMS)
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_one_chunks_way_names_files_of_six_rooms_in_their_order() -> None:
    steps = re.findall(r"^\d\. \*\*(\w+)\*\*: (.*?)(?=^\d\. |\n\n)", PAGE, re.M | re.S)
    assert [room for room, _ in steps] == SIX_ROOMS
    for room, text in steps:
        assert re.search(rf"`(?:qmig/)?{room}/[\w/]+\.py`", text), room
