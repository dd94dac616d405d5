"""Makes a lake of many small days: one real day, and copies of its files under the names of the days before it.

The source has an object of logs and one of events for each day, which the ledgers know. Tables of a lake hold the same
rows on each day, so it is of use where days are listed, chosen and counted, and not where rows are compared.
"""

from __future__ import annotations

import os
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
