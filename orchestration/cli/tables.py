"""`clicklake tables`: what the lake holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
import duckdb

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import line, table
from orchestration.settings import load_lake_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake, LakeFile


@click.command("tables", short_help="List the tables of the lake: grain, days, rows, size.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(as_json: bool) -> int:
    """Lists every table of the lake by its name in `clicklake query`, with its grain.

    The status is 1 if a table cannot be read; a line below names the file and what helps.

    \b
    Examples:
      clicklake tables
      clicklake tables --json
      clicklake describe marts.sessions
    """
    from ingest.lake.views import opened, tables_of
    from ingest.shown import shown_lines
    from orchestration.catalog import documented

    lake = load_lake_settings().open_lake()
    known = documented()
    with opened(lake) as (connection, views):
        records = []
        for name, files in sorted(tables_of(lake).items()):
            rows, error = None, views.broken.get(name)
            if error is None:
                try:
                    rows = connection.table(_quoted(name)).count("*").fetchall()[0][0]
                except duckdb.Error as broken:  # a broken file that only a full scan finds
                    error = shown_lines(str(broken))
            records.append(
                {
                    "table": name,
                    "grain": known[name].grain if name in known else None,
                    "days": _days(files),
                    "rows": rows,
                    "bytes": sum(file.size for file in files),
                    "error": error,
                }
            )
    if as_json:
        for record in records:
            click.echo(json.dumps(record))
    else:
        _show(lake, records)
    return FAILED if any(each["error"] for each in records) else DONE


def _quoted(name: str) -> str:
    layer, _, table_name = name.partition(".")
    return f'{layer}."{table_name}"'


def _days(files: Sequence[LakeFile]) -> int | None:
    """The number of days, for a table with a file for each day; else None."""
    columns = ("source_date", "day", "judged_date")
    found = set()
    for file in files:
        parts = [part for part in file.key.split("/") if "=" in part]
        named = [part for part in parts if part.partition("=")[0] in columns] or parts[:1]
        found |= set(named)
    return len(found) or None


def _show(lake: Lake, records: Sequence[dict[str, Any]]) -> None:
    rows = [
        (
            each["table"],
            "unreadable" if each["error"] else each["rows"],
            each["days"],
            _size(each["bytes"]),
            each["grain"],
        )
        for each in records
    ]
    table(None, ("table", "rows", "days", "size", "one row for each"), rows, wrapped=("one row for each",))
    for each in records:
        if each["error"]:
            line((each["table"], "red"), f": {each['error']}")
    line(f"In {lake.url}. Columns of one: clicklake describe TABLE")


def _size(size: int) -> str:
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    value, unit = float(size), 0
    while value >= 1024 and unit < len(units) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {units[unit]}" if unit == 0 else f"{value:.1f} {units[unit]}"
