"""Measures commands on a lake of many small days: `python -m benchmarks.many_days [DAYS]`, each with six days first.

The lake is one real day, and copies of its files under the names of the days before it. The source has an object of
logs and one of events for each day, which the ledgers know. All days hold the same rows, so such a lake is of use where
days are listed, chosen and counted, and not where rows are compared.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.lake.layout import LEDGER
from ingest.lake.views import LAYERS

DAY = date(2026, 1, 12)
SITE = "shop.example.com"


def days_before(last: date, count: int) -> Iterator[date]:
    return (last - timedelta(days=number) for number in range(1, count))


def event_key(site: str, day: date) -> str:
    return f"domain={site}/year={day:%Y}/month={day:%m}/day={day:%d}/hour=10/events-{day}-10.a.jsonl"


def log_key(day: date) -> str:
    return f"E1TEST.{day}-10.a.gz"


def copy_days(source: Path, lake: Path, last: date, days: int) -> None:
    """Copies everything that a folder of sources and a lake hold of the last day to the days before it. Files are links
    to the same bytes, except ledgers, which name their objects."""
    of_source = [path for path in _files(source) if str(last) in path.name]
    of_lake = [path for path in _files(lake) if str(last) in str(path) and path.relative_to(lake).parts[0] in LAYERS]
    for day in days_before(last, days):
        for path in of_source:
            _link(path, source / _moved(str(path.relative_to(source)), last, day))
        for path in of_lake:
            target = lake / _moved(str(path.relative_to(lake)), last, day)
            if LEDGER in path.relative_to(lake).parts:
                _copy_ledger(path, target, last, day)
            else:
                _link(path, target)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _moved(key: str, last: date, day: date) -> str:
    folders = f"year={last:%Y}/month={last:%m}/day={last:%d}", f"year={day:%Y}/month={day:%m}/day={day:%d}"
    return key.replace(str(last), str(day)).replace(*folders)


def _link(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, target)


def _copy_ledger(path: Path, target: Path, last: date, day: date) -> None:
    table = pq.read_table(path, partitioning=None)
    names = [_moved(name, last, day) for name in table.column("source_object").to_pylist()]
    at = table.schema.get_field_index("source_object")
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array(names, pa.string())), target)


def make(folder: Path, days: int) -> dict[str, str]:
    """A source and a lake of so many days; returns the settings of commands for them."""
    source, lake = folder / "source", folder / "lake"
    settings = {
        "CLICKLAKE_LOGS": f"{source}/logs",
        "CLICKLAKE_EVENTS": f"{source}/events",
        "CLICKLAKE_LAKE": str(lake),
        "CLICKLAKE_HASH_KEY": "a key of a benchmark that is long enough",
        "CLICKLAKE_FIRST_DAY": "2000-01-01",
        "DAGSTER_HOME": str(folder / "dagster"),
    }
    log, event = source / "logs" / log_key(DAY), source / "events" / event_key(SITE, DAY)
    for path in (log, event):
        path.parent.mkdir(parents=True)
    rows = [f"{DAY}\t10:00:{number:02}\t/c\t302\toid=24017&cid=a&cr=1" for number in range(60)]
    header = "#Version: 1.0\n#Fields: date time cs-uri-stem sc-status cs-uri-query\n"
    log.write_bytes(gzip.compress((header + "\n".join(rows) + "\n").encode()))
    event.write_text(
        json.dumps({"eventType": "pageview", "siteId": "s", "visitorId": "v", "timestamp": f"{DAY}T10:00:00Z"})
    )
    seconds(settings, "run", "--from", str(DAY), "--no-publish")
    copy_days(source, lake, DAY, days)
    return settings


def seconds(settings: dict[str, str], *command: str) -> float:
    """Processor seconds of a command, with its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    program = Path(sys.executable).with_name("clicklake")
    subprocess.run([program, *command], env=others | settings, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


COMMANDS = {
    "status of six days": ("status", "--from", str(DAY - timedelta(days=5)), "--to", str(DAY)),
    "status": ("status",),
    "query of one day": ("query", f"select count(*) from marts.daily_aggregates where report_date = '{DAY}'"),
}


def main() -> None:
    """Prints a line for each command: processor seconds with six days in the lake, with many, and the ratio."""
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    with tempfile.TemporaryDirectory() as folder:
        few_days, many_days = make(Path(folder, "few"), 6), make(Path(folder, "many"), many)
        for name, command in COMMANDS.items():
            few, all_of = seconds(few_days, *command), seconds(many_days, *command)
            print(f"{name:20} 6 days {few:5.2f} s   {many:,} days {all_of:5.2f} s   {all_of / few:4.1f} times")


if __name__ == "__main__":
    main()
