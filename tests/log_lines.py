"""Log files for tests: lines, headers, gzip, and a day of them in a folder with the lake it goes to.

Says nothing of what ingest should make of them.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import value_in
from ingest.partition.day import DayResult, IngestOptions, ingest_day
from ingest.source import AS_USUAL, FolderSource
from tests.partitions import logs_of

# Of examples that cost milliseconds, and of those that ingest a day each.
QUICK = settings(max_examples=60, deadline=None)
FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))

DAY = "2026-01-12"
HASH_KEY = "a key for tests, long enough"
OPTIONS = IngestOptions(HASH_KEY)

# Written out by hand from the AWS documentation, so that the project's own list is checked against it.
FIELDS = """date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent)
cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken
x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status
fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len
sc-range-start sc-range-end""".split()

SHORT_NAMES = {
    "location": "x-edge-location",
    "bytes": "sc-bytes",
    "ip": "c-ip",
    "method": "cs-method",
    "host": "cs(Host)",
    "path": "cs-uri-stem",
    "status": "sc-status",
    "referrer": "cs(Referer)",
    "agent": "cs(User-Agent)",
    "query": "cs-uri-query",
    "cookie": "cs(Cookie)",
    "id": "x-edge-request-id",
    "taken": "time-taken",
    "forwarded": "x-forwarded-for",
    "port": "c-port",
    "length": "sc-content-len",
}
USUAL = {
    "date": DAY,
    "time": "10:00:00",
    "x-edge-location": "FRA56-P1",
    "sc-bytes": "1045",
    "c-ip": "198.51.100.23",
    "cs-method": "GET",
    "cs(Host)": "d1234.cloudfront.net",
    "cs-uri-stem": "/index.html",
    "sc-status": "200",
    "cs(User-Agent)": "Mozilla/5.0%20(Windows%20NT%2010.0)",
    "x-edge-result-type": "Hit",
    "cs-protocol": "https",
    "cs-bytes": "310",
    "time-taken": "0.005",
    "c-port": "51234",
}


def request(**values: str) -> dict[str, str]:
    """A logged request by field name; what differs from the usual one is given by its short name."""
    return USUAL | {SHORT_NAMES.get(name, name): value for name, value in values.items()}


def line(fields: Iterable[str] = FIELDS, /, **values: str) -> bytes:
    """One line without its newline, in the order of these fields; what is not given is `-`."""
    row = request(**values)
    return "\t".join(row.get(name, "-") for name in fields).encode()


def lines(count: int, start: int = 0, **values: str) -> list[bytes]:
    """Lines that differ in id, time and address."""
    return [
        line(
            id=f"id-{n}",
            time=f"{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}",
            ip=f"10.1.{n % 7}.{n % 250}",
            **values,
        )
        for n in range(start, start + count)
    ]


def header(fields: Iterable[str] = FIELDS, separator: str = " ") -> bytes:
    return b"#Version: 1.0\n#Fields: " + separator.join(fields).encode() + b"\n"


def log(rows: Iterable[bytes], fields: Iterable[str] = FIELDS) -> bytes:
    """A whole file: header and lines."""
    return header(fields) + b"".join(row + b"\n" for row in rows)


class LogDay:
    """A folder of log objects and a lake; what was published of a day, as plain Python values."""

    def __init__(self, folder: Path, day: str = DAY) -> None:
        self.day = day
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self.lake = Lake(str(folder / "lake"))
        self.options = OPTIONS
        self.terms = AS_USUAL

    @property
    def source(self) -> FolderSource:
        return FolderSource(self.logs, terms=self.terms)

    def add(self, body: bytes, name: str = "a", hour: str = "10", day: str | None = None, compress: bool = True) -> str:
        """Puts an object of this day; returns its key."""
        key = f"E1TEST.{day or self.day}-{hour}.{name}.gz"
        data = gzip.compress(body, 1, mtime=0) if compress else body
        (self.logs / key).write_bytes(data)
        stored = 1_768_300_000 + zlib.crc32(data) % 10_000  # the same content has the same time
        os.utime(self.logs / key, (stored, stored))
        return key

    def allow(self, **limits: Any) -> None:
        self.options = replace(self.options, limits=replace(self.options.limits, **limits))

    def allow_rejects(self) -> LogDay:
        self.allow(max_reject_share=1.0)
        return self

    def ingest(self, lake: Lake | None = None, day: str | None = None) -> DayResult:
        return ingest_day(lake or self.lake, self.source, logs_of(day or self.day), self.options)

    def publish(self) -> list[dict[str, Any]]:
        """Ingests, and returns the rows."""
        result = self.ingest()
        assert result.published, result.reason
        return self.rows()

    def rows(self, event_date: str | None = None) -> list[dict[str, Any]]:
        """Rows of this source day as they are in the lake, of one event date or of all, by object and line."""
        keys = [file.key for file in self.lake.files("raw") if value_in(file.key, "source_date") == self.day]
        if event_date:
            keys = [key for key in keys if key == logs_of(self.day).raw_file(parse_day(event_date))]
        found = [row for key in keys for row in self.lake.read_table(key).to_pylist()]
        return sorted(found, key=lambda row: (row["source_object"], row["source_line"]))

    def rejects(self) -> list[dict[str, Any]]:
        return self.lake.read_table(logs_of(self.day).rejects_file).to_pylist()

    def reasons(self) -> dict[int, str]:
        """Line → reason."""
        return {row["source_line"]: row["reason"] for row in self.rejects()}

    def ledger(self) -> dict[str, dict[str, Any]]:
        return {row["source_object"]: row for row in self.lake.read_table(logs_of(self.day).ledger_file).to_pylist()}

    def quarantine(self) -> str:
        return logs_of(self.day).quarantine

    def contents(self) -> Mapping[str, bytes]:
        """Every file of the lake, by key."""
        root = Path(self.lake.root)
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
        }

    def texts(self) -> Iterator[str]:
        """Every value of every file of the lake, as text."""
        for key in self.contents():
            path = Path(self.lake.root) / key
            if path.suffix == ".parquet":
                for column in pq.ParquetFile(path).read().columns:
                    yield from (str(value) for value in column.to_pylist())
            else:
                yield path.read_text()


def assert_accounted(day: LogDay, prefix: str = "") -> None:
    """For each object read = kept + rejected + duplicates, and the files hold as many rows as the ledger says."""
    ledger = day.lake.read_table(f"{prefix}/ledger.parquet" if prefix else logs_of(day.day).ledger_file).to_pylist()
    for row in ledger:
        assert row["rows_read"] == row["rows_kept"] + row["rows_rejected"] + row["rows_duplicate"], row
    if prefix:
        files = [file.key for file in day.lake.files(f"{prefix}/rows")]
        rejected = f"{prefix}/rejects.parquet"
    else:
        files = [file.key for file in day.lake.files("raw") if value_in(file.key, "source_date") == day.day]
        rejected = logs_of(day.day).rejects_file
    kept: dict[str, int] = {}
    for key in files:
        for name in day.lake.read_table(key, ["source_object"]).column(0).to_pylist():
            kept[name] = kept.get(name, 0) + 1
    assert kept == {row["source_object"]: row["rows_kept"] for row in ledger if row["rows_kept"]}
    refused: dict[str, int] = {}
    for name in day.lake.read_table(rejected, ["source_object"]).column(0).to_pylist():
        refused[name] = refused.get(name, 0) + 1
    assert refused == {row["source_object"]: row["rows_rejected"] for row in ledger if row["rows_rejected"]}
