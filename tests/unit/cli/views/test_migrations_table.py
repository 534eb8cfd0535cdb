"""A list of migrations has the same contents at every width of the terminal."""

import pytest
from rich.console import Console

from qmig.cli.views.migrations_table import MigrationsTable
from tests.unit.monitor.test_status import status


@pytest.mark.parametrize("width", [40, 60, 79, 80, 120])
def test_nothing_that_tells_a_migration_from_another_is_cut_off(width: int) -> None:
    console = Console(width=width)
    one = status()

    with console.capture() as captured:
        console.print(MigrationsTable([one]))

    shown = captured.get()
    for text in (one.id[:8], "running", "36%", "products at http", "→ products_v2", "180", "of 500"):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= width
