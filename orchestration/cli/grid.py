"""The rows of a query as text: a table that fits the terminal, with full column names as long as possible."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.types as kinds
from rich.cells import cell_len, set_cell_size

from ingest.shown import shown

LONGEST = 60  # characters of a cell
NARROWEST, NARROWEST_NESTED = 8, 4


def grid(rows: pa.Table, width: int) -> str:
    """A header with names and types, and a line for each row; numbers to the right. All text is shown escaped.

    If the columns are wider than the terminal, lists and structures are cut first, then the widest.
    """
    names, types, cells = _texts(rows)
    nested = [kinds.is_nested(field.type) for field in rows.schema]
    columns = [[names[at], "" if nested[at] else types[at], *cells[at]] for at in range(len(names))]
    widths = [min(max(map(cell_len, column)), LONGEST) for column in columns]
    room = width - 3 * len(columns) - 1
    _shrink(widths, [at for at, is_nested in enumerate(nested) if is_nested], room, NARROWEST_NESTED)
    _shrink(widths, list(range(len(widths))), room, NARROWEST)
    is_right = [_is_number(field.type) for field in rows.schema]

    def line(values: list[str]) -> str:
        padded = [_padded(*each) for each in zip(values, widths, is_right, strict=True)]
        return "│ " + " │ ".join(padded) + " │"

    rules = ["─" * (wide + 2) for wide in widths]
    lines = ["┌" + "┬".join(rules) + "┐", line(names), line(types), "├" + "┼".join(rules) + "┤"]
    lines += [line([column[row] for column in cells]) for row in range(len(rows))]
    lines.append("└" + "┴".join(rules) + "┘")
    return "\n".join(lines)


def _texts(rows: pa.Table) -> tuple[list[str], list[str], list[list[str]]]:
    """Names, DuckDB's types, and the values of each column as DuckDB writes them."""
    unique = rows.rename_columns([f"c{at}" for at in range(rows.num_columns)])
    with duckdb.connect() as connection:
        connection.register("found", unique)
        described = [str(kind).lower() for kind in connection.sql("from found").types]
        texts = connection.execute("select columns(*)::varchar from found").fetchall()
    cells = [["NULL" if row[at] is None else shown(row[at]) for row in texts] for at in range(rows.num_columns)]
    return [shown(name) for name in rows.column_names], [shown(kind) for kind in described], cells


def _shrink(widths: list[int], which: list[int], room: int, least: int) -> None:
    """Narrows the widest of these columns until all fit, or all have the least width."""
    while sum(widths) > room:
        widest = max(which, key=lambda at: widths[at], default=None)
        if widest is None or widths[widest] <= least:
            return
        widths[widest] -= 1


def _is_number(kind: pa.DataType) -> bool:
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def _cut(text: str, width: int) -> str:
    """The text, cut to this width in terminal cells."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _padded(text: str, width: int, is_right: bool) -> str:
    cut = _cut(text, width)
    blanks = " " * (width - cell_len(cut))
    return blanks + cut if is_right else cut + blanks
