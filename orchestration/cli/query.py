"""`clicklake query`: SQL over the lake."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import click
import duckdb
import pyarrow as pa

from ingest.lake.views import Views, only_reads, opened, reason_of
from ingest.shown import shown_lines
from orchestration.cli.console import console, notes
from orchestration.cli.grid import grid
from orchestration.settings import folder_around, load_lake_settings

MAX_ROWS_SHOWN = 1000
# What a spreadsheet takes for the beginning of a formula (OWASP, "CSV injection"), also in full-width forms.
_FORMULA = "^[=+\\-@\t\r\n＝＋－＠]"

# SQL that may tell of all tables, whether or not it names them.
_ASKS_FOR_TABLES = re.compile(
    r"\b(?:show|describe|summarize|pragma\w*|information_schema|pg_\w+|duckdb_\w+|sqlite_\w+)\b", re.I
)
_NO_TABLE_OF_OURS = r"\n?Did you mean \"(?:pg_catalog|information_schema)\.[^\n]*"


class _OfSql(click.Command):
    """A command with SQL that may begin with a comment, which click would take for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f" {each}" if _is_comment(each) else each for each in args])


def _is_comment(text: str) -> bool:
    """Whether the text begins with an SQL comment: names of options have no blanks or line breaks."""
    first, end, _ = text.partition("\n")
    return text.startswith("--") and (text[2:3].isspace() or (bool(end) and "=" not in first))


@click.command("query", cls=_OfSql, short_help="Run SQL over views of all lake tables.")
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How rows are written; json is one object a line.",
)
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write to instead of the terminal."
)
@click.option("--raw", is_flag=True, help="For csv: do not change text that a spreadsheet would take for a formula.")
def command(sql: str, form: str, output: Path | None, raw: bool) -> None:
    """Runs SQL (DuckDB's) over views of all lake tables: raw.*, rejects.*, ledger.*, marts.*, quarantine.*.

    With `-` the SQL is read from standard input. Times are UTC. The SQL can read only the lake: no other file, no
    setting, no other database. Rows are written to standard output, or to --output.

    csv puts ' before text that begins with = + - @ and is no number, which spreadsheets would take for a formula.
    The table shows control characters escaped; csv, json and parquet keep them as they are.

    \b
    Examples:
      clicklake query "select * from marts.daily_aggregates order by impressions desc limit 10"
      clicklake query "select reason, count(*) from rejects.access_logs group by reason"
      clicklake query "from quarantine.verdicts" --format json
      clicklake query "from marts.sessions" --format csv --output sessions.csv
    """
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is no text. Name a file with --output, or redirect it.")
    if output is not None and (name := folder_around(output)):
        raise click.UsageError(f"{output} lies within {name}. A query writes nothing there: name a file elsewhere")
    rows = _rows(sys.stdin.read() if sql == "-" else sql)
    if rows is None:
        return
    try:
        with tempfile.TemporaryDirectory(prefix="clicklake-") as folder:
            # To a file first: DuckDB and pyarrow write from a file's start, and stdout may be in the middle of one.
            written = Path(folder) / "rows"
            _write(rows, form, written, raw)
            with written.open("rb") as found:
                _copy(found, output)
    except (OSError, duckdb.IOException) as error:
        reason = getattr(error, "strerror", None) or error  # the rest of the message repeats the file's name
        raise click.ClickException(f"Writing {output or 'to the standard output'}: {reason}") from None
    if form == "table" and len(rows) > MAX_ROWS_SHOWN:
        notes.print(f"{MAX_ROWS_SHOWN:,} of {len(rows):,} rows; use --format csv for all")


def _rows(sql: str) -> pa.Table | None:
    """The rows of the last statement; None if it gives none. Only tables that the SQL names are opened, unless it may
    ask which tables there are, or names one that is not there."""
    lake = load_lake_settings().open_lake()
    for named_in in (None,) if _ASKS_FOR_TABLES.search(sql) else (sql, None):
        with opened(lake, named_in) as (connection, views):
            try:
                return _answer(connection, sql)
            except duckdb.Error as error:
                # For a missing table, the explanation names those that are there.
                if named_in is None or not isinstance(error, duckdb.CatalogException):
                    raise click.ClickException(_explained(error, sql, views, lake.url)) from None
    raise AssertionError("the last of these explains every error")


def _answer(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table | None:
    if not only_reads(connection, sql):
        raise click.ClickException(
            "A query only reads the lake: it can neither write nor attach anything. "
            "--output names a file for its rows; clicklake views makes a database of one's own"
        )
    found = connection.sql(sql)
    return found.to_arrow_table() if found is not None else None


def _explained(error: duckdb.Error, sql: str, views: Views, lake: str) -> str:
    """The error as text; if the query names broken tables, which file is broken."""
    named = [table for table in views.broken if re.search(rf"\b{re.escape(table.split('.')[1])}\b", sql, re.I)]
    if named:
        return " ".join(f"{table}: {views.broken[table]}." for table in named)
    if "Traceback" in str(error):
        return reason_of(error)
    text = shown_lines(str(error).strip())
    if isinstance(error, duckdb.PermissionException):
        return f"{text}\nA query reads the lake, {lake}, and nothing else."
    if isinstance(error, duckdb.CatalogException):
        if lacking := _not_there_yet(sql, views):
            return f"{lake} does not hold {lacking} yet: no run has made it. What there is: clicklake tables"
        text = re.sub(_NO_TABLE_OF_OURS, "", text)
        return f"{text} " + (f"Tables: {', '.join(views.names)}." if views.holds_any else f"{lake} holds no table yet.")
    return text


def _not_there_yet(sql: str, views: Views) -> str:
    """The documented tables that the query names and the lake does not hold."""
    from orchestration.catalog import documented

    absent = sorted({*documented()} - {*views.names, *views.broken})
    return ", ".join(table for table in absent if re.search(rf"\b{re.escape(table)}\b", sql, re.I))


def _write(rows: pa.Table, form: str, target: Path, raw: bool) -> None:
    if form == "table":
        target.write_text(grid(rows.slice(0, MAX_ROWS_SHOWN), _width()) + "\n", encoding="utf-8")
    elif form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows, target, compression="zstd")
    else:
        with duckdb.connect() as connection:
            connection.register("found", rows)
            chosen = _for_spreadsheets(connection) if form == "csv" and not raw else "from found"
            options = "format csv, header" if form == "csv" else "format json"
            connection.execute(f"copy ({chosen}) to '{str(target).replace(chr(39), chr(39) * 2)}' ({options})")


def _for_spreadsheets(connection: duckdb.DuckDBPyConnection) -> str:
    """SQL for the rows with ' before each text and column name that would be a formula. Numbers, also as text, are no
    formulas."""
    found = connection.sql("from found")
    chosen = []
    for name, kind in zip(found.columns, map(str, found.types), strict=True):
        quoted = '"' + name.replace('"', '""') + '"'
        safe = "'" + name if re.match(_FORMULA, name) else name
        value = quoted
        if kind == "VARCHAR" or kind.startswith("ENUM"):
            text = f"{quoted}::varchar"
            is_formula = f"regexp_matches({text}, '{_FORMULA}') and try_cast({text} as double) is null"
            value = f"case when {is_formula} then '''' || {text} else {text} end"
        chosen.append(f'{value} as "{safe.replace(chr(34), chr(34) * 2)}"')
    return f"select {', '.join(chosen)} from found"  # noqa: S608 - names of columns, quoted


def _copy(found: BinaryIO, output: Path | None) -> None:
    if output is not None:
        with output.open("wb") as target:
            shutil.copyfileobj(found, target)
        return
    try:
        shutil.copyfileobj(found, sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails again at its end


def _width() -> int:
    """The width of the terminal, at least 80; other outputs are not cut."""
    return max(console.width, 80) if console.is_terminal else 10_000
