"""`clicklake describe TABLE`: the columns of a table, and what they mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ingest.errors import LakeError
from orchestration.cli.console import line, notes, table
from orchestration.settings import load_lake_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake


@click.command("describe", short_help="Show the columns of a table, with types and meaning.")
@click.argument("name", metavar="TABLE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: column, type, description.")
def command(name: str, as_json: bool) -> None:
    """Shows what a table holds, its grain, and its columns with type, unit and meaning.

    TABLE is a name as in a query; its layer can be left out if only one table has the name. A table that the lake does
    not hold yet is described as it will be. Money and shares are exact decimals; cast(revenue as double) makes floats.

    \b
    Examples:
      clicklake describe marts.sessions
      clicklake describe daily_aggregates
      clicklake describe quarantine.verdicts --json
    """
    from orchestration.catalog import documented

    lake = load_lake_settings().open_lake()
    known = documented()
    held = _columns_held(lake)
    full = _resolved(name, sorted({*known, *held}))
    about = known.get(full)
    meant = about.columns if about else {}
    columns = held.get(full) or {column: kind for column, (kind, _) in meant.items()}
    rows = [(column, kind.lower(), meant.get(column, ("", None))[1]) for column, kind in columns.items()]
    if as_json:
        for column, kind, description in rows:
            click.echo(json.dumps({"column": column, "type": kind, "description": description}))
        return
    line((full, "bold"), f": {about.description}" if about else "")
    if about:
        line(f"One row for each {about.grain}")
    table(None, ("column", "type", "description"), rows, wrapped=("type", "description"))
    if full not in held:
        notes.print(f"{lake.url} does not hold it yet.")


def _columns_held(lake: Lake) -> dict[str, dict[str, str]]:
    """Table → column → type, for every table that the lake holds and that can be read."""
    from ingest.lake.views import opened

    found: dict[str, dict[str, str]] = {}
    try:
        with opened(lake) as (connection, _):
            described = connection.execute(
                "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
                "where schema_name in ('raw', 'rejects', 'ledger', 'marts', 'quarantine') order by column_index"
            ).fetchall()
    except LakeError as error:  # tables can be described without the lake
        notes.print(str(error))
        return {}
    for name, column, kind in described:
        found.setdefault(name, {})[column] = kind
    return found


def _resolved(name: str, names: list[str]) -> str:
    """The full name of a table. Raises UsageError if there is none, or if there are several."""
    wanted = name.lower()
    if wanted in names:
        return wanted
    # If raw rows and refused rows have the same name, the raw rows are meant.
    found = [each for each in names if each.split(".", 1)[1] == wanted]
    usual = [each for each in found if not each.startswith("quarantine.")] or found
    if len(usual) == 1:
        return usual[0]
    if usual:
        raise click.UsageError(f"{name} is in several layers. Name one of {', '.join(found)}")
    import difflib

    close = difflib.get_close_matches(wanted, [*names, *(each.split(".", 1)[1] for each in names)], 1)
    hint = f"Did you mean {close[0]}?" if close else "See: clicklake tables"
    raise click.UsageError(f"There is no table {name}. {hint}")
