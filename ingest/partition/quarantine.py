"""Reads the quarantine: refused partitions, their reasons and their rows. `day.py` and dbt write it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.days import parse_day
from ingest.errors import LakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import DATA_FILE, VERDICT_FILE, Partition, partition_of, quarantine_folder
from ingest.partition.datasets import DATASETS
from ingest.partition.ledger import Version, versions_refused


@dataclass(frozen=True)
class Refused:
    """A refused partition.

    reasons: {check, message, figures} for a raw day; {check, message, failures} for a day of a mart.
    rows: number of rows read (raw) or built (mart); None if nothing could be built, or the file is broken.
    since: time of the last refusal, UTC.
    """

    partition: Partition
    reasons: list[dict[str, Any]]
    rows: int | None
    since: datetime

    @property
    def is_raw(self) -> bool:
        return self.partition.table in DATASETS

    @property
    def checks(self) -> list[str]:
        return [reason["check"] for reason in self.reasons]

    def __str__(self) -> str:
        return str(self.partition)


def verdict_files(quarantine: Iterable[LakeFile]) -> list[LakeFile]:
    """The verdict files among files in quarantine: one for each refused partition."""
    return [file for file in quarantine if file.key.endswith(f"/{VERDICT_FILE}") and partition_of(file.key)]


VERDICT_READABLE = "verdict_readable"  # check that is named if a verdict cannot be read


def read_verdict(lake: Lake, file: LakeFile) -> tuple[Partition, list[dict[str, Any]]]:
    """A refused partition and its reasons. For a broken file, the partition comes from its path and the reason is that
    it is broken: a broken file must not hide other refusals."""
    problem: object
    try:
        verdict = json.loads(lake.read_bytes(file.key))
        partition = Partition(verdict["table"], parse_day(verdict["day"]), verdict.get("site"))
        if partition.table and all(each["check"] and each["message"] for each in verdict["reasons"]):
            return partition, verdict["reasons"]
        problem = "something is missing in it"
    except (ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
    message = f"{lake.uri(file.key)} cannot be read ({problem}). Run its day again, or take the file away"
    told = partition_of(file.key)
    assert told is not None  # else `verdict_files` would not have listed it
    return told, [{"check": VERDICT_READABLE, "message": message}]


def refused_partitions(
    lake: Lake, days: Collection[date] = (), table: str | None = None, site: str | None = None
) -> list[Refused]:
    """The refused partitions, sorted by day, table and site; optionally only of some days, a table or a site."""
    files = lake.files(quarantine_folder(table))
    by_folder: dict[str, list[LakeFile]] = {}
    for file in files:
        by_folder.setdefault(file.key.rpartition("/rows/")[0] or file.key.rpartition("/")[0], []).append(file)
    found = []
    for file in verdict_files(files):
        told = partition_of(file.key)
        if told is None or (days and told.day not in days):
            continue
        if site and file.key != replace(told, site=site).verdict_file:
            continue
        found.append(_refused(lake, file, by_folder[file.key.rpartition("/")[0]]))
    return sorted(found, key=lambda each: (each.partition.day, each.partition.table, each.partition.site or ""))


def _refused(lake: Lake, verdict: LakeFile, files: list[LakeFile]) -> Refused:
    partition, reasons = read_verdict(lake, verdict)
    ledger = next((file.key for file in files if file.key.endswith("/ledger.parquet")), None)
    rows = [file.key for file in files if file.key.endswith(f"/{DATA_FILE}")]
    count = None
    with suppress(LakeError):  # a broken file next to a verdict hides no refusal; `show` names it
        if ledger:
            count = pc.sum(lake.read_table(ledger, ["rows_read"]).column(0)).as_py() or 0
        elif rows:
            count = sum(_parquet(lake, key).metadata.num_rows for key in rows)
    return Refused(partition, reasons, count, verdict.modified)


def _parquet(lake: Lake, key: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(lake.path(key), filesystem=lake.filesystem)
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(f"reading {lake.uri(key)}: no whole Parquet file ({error})") from error


def objects_judged(lake: Lake, refused: Refused) -> set[Version]:
    """The versions of the objects that a raw partition was refused with."""
    return versions_refused(lake, refused.partition) or set()


def reject_reasons(lake: Lake, refused: Refused) -> list[tuple[str, str | None, int]]:
    """(reason, detail, rows) of rejected lines, the commonest first."""
    table = lake.read_table(refused.partition.refused_rejects_file, ["reason", "detail"])
    counts = Counter(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return [(reason, detail, rows) for (reason, detail), rows in counts.most_common()]


def worst_objects(lake: Lake, refused: Refused, count: int) -> list[dict[str, Any]]:
    """At most `count` objects with errors: unreadable ones first, then those with most rejected rows."""
    columns = ["source_object", "rows_read", "rows_rejected", "error"]
    rows = lake.read_table(refused.partition.refused_ledger_file, columns).to_pylist()
    bad = [row for row in rows if row["error"] or row["rows_rejected"]]
    return sorted(bad, key=lambda row: (row["error"] is None, -row["rows_rejected"], row["source_object"]))[:count]


def rejected_lines(lake: Lake, refused: Refused, count: int) -> list[dict[str, Any]]:
    """At most `count` rejected lines: one of each reason before a second one of any reason."""
    table = lake.read_table(refused.partition.refused_rejects_file)
    seen: Counter[str] = Counter()
    turns = []
    for position, reason in enumerate(table.column("reason").to_pylist()):
        turns.append((seen[reason], position))
        seen[reason] += 1
    return table.take(pa.array([position for _, position in sorted(turns)[:count]], pa.int64())).to_pylist()


def refused_rows(lake: Lake, refused: Refused, count: int) -> pa.Table | None:
    """The first `count` refused rows; None if no row could be built."""
    for file in lake.files(refused.partition.refused_rows):
        rows = _parquet(lake, file.key)
        if rows.metadata.num_rows:
            return pa.Table.from_batches([next(rows.iter_batches(batch_size=count)).slice(0, count)])
    return None
