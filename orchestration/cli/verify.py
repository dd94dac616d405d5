"""`clicklake verify`: compares every file with the SHA-256 that was recorded when it was published."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import click

from ingest.words import counted
from orchestration.cli import DONE, FAILED
from orchestration.cli.changes import ensure_lake
from orchestration.cli.console import bar, console, line, notes
from orchestration.cli.days import DAY
from orchestration.settings import load_lake_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake


@click.command("verify", short_help="Compare every file with its recorded SHA-256, and raw with its ledgers.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--from", "first", type=DAY, metavar="D1", help="First day. Default: no limit.")
@click.option("--to", "last", type=DAY, metavar="D2", help="Last day. Default: no limit.")
def command(tables: tuple[str, ...], first: dt.date | None, last: dt.date | None) -> int:
    """Reads every file of raw, rejects and marts, and compares it with the SHA-256 that was recorded when it
    was published. Names each file that differs, is missing, or is in no ledger, each record of marts that cannot
    be read, and what to do.

    D1 and D2 are source days of raw, and days of marts. Files of an early version have no record; they are
    counted.

    \b
    Examples:
      clicklake verify
      clicklake verify --from 2026-01-01 --to 2026-01-31
      clicklake verify access_logs daily_aggregates
    """
    from ingest.partition.verify import Verification

    if first and last and last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}.")
    lake = load_lake_settings().open_lake()
    ensure_lake(lake)
    wanted = Verification(lake, [_table_named(lake, table) for table in tables], first, last)
    with bar("Reading", wanted.files, ("files", "bytes")) as advance:
        done = wanted.run(advance)
    if not done.files and not done.wrong:
        console.print("The lake has no such file.")
        return DONE
    for text in done.wrong:
        line(("wrong: ", "red"), text)
    said = f"{counted(done.files, 'file')} of {done.bytes:,} bytes read, {len(done.wrong)} wrong"
    console.print(said + (f", {done.unrecorded} without a record" if done.unrecorded else ""))
    if done.unrecorded:
        notes.print("Files get their record when their day is built: clicklake run, or clicklake upgrade for all")
    return FAILED if done.wrong else DONE


def _table_named(lake: Lake, name: str) -> str:
    """The table without its layer: `raw.access_logs` and `access_logs` are the same.

    Raises:
        UsageError: there is no such dataset or mart.
    """
    from ingest.lake.layout import MARTS, RAW
    from orchestration.catalog import documented

    layer, _, table = name.lower().rpartition(".")
    known = {each for each in documented() if each.startswith((f"{RAW}.", f"{MARTS}."))}
    known -= {"marts.data_quality"}  # each run adds to it, and nothing records it
    # The files of a model that is no longer there are compared as well.
    known |= {f"{each}.{folder}" for each in (RAW, MARTS) for folder in lake.folders(each)}
    if any(each in known for each in ([name.lower()] if layer else [f"{RAW}.{table}", f"{MARTS}.{table}"])):
        return table
    raise click.UsageError(f"There is no table {name}. One of: {', '.join(sorted(known))}.")
