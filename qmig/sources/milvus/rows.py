"""The rows of one answer, and the one place where a row that cannot become a point is refused."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from qmig.errors import TerminalError
from qmig.formatting import command_option, one_line
from qmig.qdrant.json_values import UnfitValueError

Cell = TypeVar("Cell")


class Rows:
    """The rows of one answer."""

    def __init__(self, count: int) -> None:
        self.count = count
        #: Why rows cannot become points, by their place in the answer.
        self.invalid: dict[int, str] = {}

    def convert(self, row: int, field: str, convert: Callable[[Cell], bytes], cell: Cell, way_out: str) -> bytes:
        """Convert one cell; refuse its row, whatever goes wrong with it."""
        try:
            return convert(cell)
        except UnfitValueError as error:
            held = str(error)
        except MemoryError:
            # The worker is at fault, and not the row.
            raise
        except Exception as error:  # noqa: BLE001
            # Nothing that a row holds may end its chunk.
            held = f"a value that qmig cannot convert ({type(error).__name__}: {one_line(error)})"
        self.refuse(row, field, held, way_out)
        return b""

    def refuse(self, row: int, field: str, held: str, way_out: str) -> None:
        """Mark a row as invalid because of what its field holds."""
        reason = f"its field {field!r} holds {held}; correct or delete the row and give the same command again"
        self.invalid.setdefault(row, reason + way_out)


def skipping(field: str) -> str:
    """The way out for a field that may be left out."""
    return f", or leave the field out with {command_option('--skip-field', field)}"


def convert_column(
    cells: Sequence[Cell],
    convert: Callable[[Sequence[Cell]], list[bytes]],
    convert_one: Callable[[Cell], bytes],
    valid: Sequence[bool],
    rows: Rows,
    field: str,
    way_out: str,
) -> list[bytes]:
    """Convert a column at once, or cell by cell where one of them is at fault. The places of nulls are skipped."""
    try:
        return convert(cells)
    except Exception:  # noqa: BLE001
        # Which row is at fault, and why, shows each cell by itself.
        return [
            b"" if row is None else rows.convert(row, field, convert_one, cell, way_out)
            for row, cell in zip(_rows_of(len(cells), valid, rows, field), cells, strict=True)
        ]


def spread(found: list[bytes], valid: Sequence[bool], rows: Rows, null: bytes, field: str) -> list[bytes]:
    """Put nulls into a column: one entry for each row. In the answer a null's place is missing or holds anything."""
    if not valid and len(found) == rows.count:
        return found
    spread_out = [null] * rows.count
    for row, entry in zip(_rows_of(len(found), valid, rows, field), found, strict=True):
        if row is not None:
            spread_out[row] = entry
    return spread_out


def _rows_of(cells: int, valid: Sequence[bool], rows: Rows, field: str) -> Iterable[int | None]:
    """The row that each cell of a column belongs to; None for the place of a null."""
    nulls_known = len(valid) == rows.count
    if cells == rows.count:
        return [row if is_valid else None for row, is_valid in enumerate(valid)] if nulls_known else range(cells)
    if nulls_known and cells == sum(valid):
        return [row for row, is_valid in enumerate(valid) if is_valid]
    raise TerminalError(
        f"the source answered {rows.count} rows with {cells} values of the field {field!r}; its answer cannot be read"
    )
