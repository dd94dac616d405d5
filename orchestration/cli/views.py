"""`clicklake views FILE`: a DuckDB database of the lake's views, for other tools."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click
import duckdb

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import line, notes
from orchestration.settings import folder_around, load_lake_settings


@click.command("views", short_help="Write a DuckDB file with a view of each table, for other tools.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def command(file: Path) -> int:
    """Writes a DuckDB database that any client of DuckDB opens: raw.*, rejects.*, ledger.*, marts.*, quarantine.*.

    It holds only views, and works without clicklake. Days that are published later are visible; write it again for a
    new table or column. For a lake in S3 the client needs DuckDB's httpfs and its own keys. An existing file that holds
    anything but views is not replaced.

    \b
    Examples:
      clicklake views lake.duckdb
      duckdb -readonly lake.duckdb "select * from marts.daily_aggregates limit 10"
    """
    from ingest.lake.views import write_database

    if name := folder_around(file):
        raise click.UsageError(f"{file} lies within {name}. Name a file elsewhere")
    if file.exists() and not _holds_only_views(file):
        raise click.UsageError(f"{file} is there, and no database of views. Name another file")
    lake = load_lake_settings().open_lake()
    try:
        with tempfile.TemporaryDirectory(prefix=".clicklake-", dir=file.absolute().parent) as folder:
            made = Path(folder) / "views.duckdb"
            views = write_database(lake, made)
            os.replace(made, file)
    except OSError as error:
        raise click.ClickException(f"Writing {file}: {error.strerror or error}") from None
    notes.print(f"{len(views.names)} views of {lake.url} in {file}")
    for table, reason in views.broken.items():
        line((table, "red"), f": {reason}")
    return FAILED if views.broken else DONE


def _holds_only_views(file: Path) -> bool:
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute("select count(*) from duckdb_tables()").fetchall() == [(0,)]
    except duckdb.Error:
        return False
