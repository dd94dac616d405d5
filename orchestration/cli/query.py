"""`clicklake query`: SQL over the lake."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import click
import duckdb
import pyarrow as pa

from ingest.views import create_views
from orchestration.cli.console import console, notes
from orchestration.settings import load_lake_settings

MAX_ROWS_SHOWN = 1000
MAX_WIDTH = 60


@click.command("query", short_help="Run SQL over views of all lake tables.")
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How rows are written; json is one object a line.",
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File instead of the terminal.")
def command(sql: str, form: str, output: Path | None) -> None:
    """Runs SQL (DuckDB's) over views of all lake tables: raw.*, rejects.*, ledger.*, marts.*, quarantine.*.

    SQL of `-` is read from the standard input. Times are UTC.

    \b
    Examples:
      clicklake query "select * from marts.daily_aggregates order by impressions desc limit 10"
      clicklake query "select reason, count(*) from rejects.access_logs group by reason"
      clicklake query "from quarantine.verdicts" --format json
      clicklake query "show all tables"
    """
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is no text. Name a file with --output, or redirect it.")
    statement = sys.stdin.read() if sql == "-" else sql
    lake = load_lake_settings().open_lake()
    with lake.connect() as connection:
        views = create_views(lake, connection)
        try:
            found = connection.sql(statement)
            rows = found.to_arrow_table() if found is not None else None
        except duckdb.Error as error:
            known = f" Tables: {', '.join(views)}." if views else f" {lake.url} holds no table yet."
            hint = known if isinstance(error, duckdb.CatalogException) else ""
            raise click.ClickException(f"{str(error).strip()}{hint}") from None
    if rows is None:
        return
    try:
        _write(rows, form, output)
        sys.stdout.flush()
    except (OSError, duckdb.IOException) as error:
        if output is None and _is_broken_pipe(error):  # the reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails on it once more
            return
        raise click.ClickException(f"Writing {output or 'to the standard output'}: {error}") from None


def _is_broken_pipe(error: Exception) -> bool:
    """DuckDB's error holds no number, only what the system says of it."""
    return isinstance(error, BrokenPipeError) or os.strerror(errno.EPIPE) in str(error)


def _write(rows: pa.Table, form: str, output: Path | None) -> None:
    if form == "table":
        _show(rows, output)
    elif form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows, output or sys.stdout.buffer, compression="zstd")
    else:
        with duckdb.connect() as connection:
            connection.register("found", rows)
            options = "format csv, header" if form == "csv" else "format json"
            target = str(output) if output else "/dev/stdout"
            connection.execute(f"copy found to '{target.replace(chr(39), chr(39) * 2)}' ({options})")


def _show(rows: pa.Table, output: Path | None) -> None:
    with duckdb.connect() as connection:
        connection.register("found", rows)
        text = connection.sql("from found").limit(MAX_ROWS_SHOWN)
        lines = _boxed(text)
    if output:
        output.write_text(lines + "\n", encoding="utf-8")
    else:
        print(lines)
    if len(rows) > MAX_ROWS_SHOWN:
        notes.print(f"{MAX_ROWS_SHOWN:,} of {len(rows):,} rows; use --format csv for all", highlight=False)


def _boxed(rows: duckdb.DuckDBPyRelation) -> str:
    width = max(console.width, 80) if console.is_terminal else 10_000
    buffer = StringIO()
    with redirect_stdout(buffer):
        rows.show(max_rows=MAX_ROWS_SHOWN, max_width=width, max_col_width=MAX_WIDTH)
    return buffer.getvalue().rstrip()
