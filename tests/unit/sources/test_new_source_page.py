"""The module on the page docs/contributing/new-source.md is the module that is tested."""

import re
from pathlib import Path

from tests.support import jsonl_source

PAGE = Path(__file__).parents[3] / "docs" / "contributing" / "new-source.md"


def lines(text: str) -> list[str]:
    """The lines that are not empty, without indentation: the page shows methods without their class."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_the_code_of_the_page_is_the_whole_module_that_is_tested() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)

    assert lines("\n".join(blocks)) == lines(Path(jsonl_source.__file__).read_text())


def test_the_files_that_it_names_exist() -> None:
    files = re.findall(r"`((?:qmig|tests)/[\w/]+\.py)`", PAGE.read_text())

    assert files
    assert [file for file in files if not (PAGE.parents[2] / file).is_file()] == []
