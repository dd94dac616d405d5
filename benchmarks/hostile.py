"""Hostile inputs: small objects that become large, or many things, when they are read.

To add one, describe it in `CASES`. Each is a day of its own that is ingested like any other. It is correct that the day
is refused or its rows are rejected. docs/limits.md states the limits of their cost.
"""

from __future__ import annotations

import gzip
import io
import json
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.datasets import ACCESS_LOGS, EVENTS, Dataset
from ingest.partition.day import DayResult, IngestOptions, ingest_day
from ingest.source import FolderSource

DAY = "2026-01-12"
SITE = "example.com"
MIB = 1 << 20
MAX_PEAK_MIB = 1024  # of a process that ingests any of these with two workers; stated in docs/limits.md


@dataclass(frozen=True)
class Hostile:
    """One object of a day.

    make: returns its bytes.
    seconds: the limit for ingesting it.
    """

    dataset: Dataset
    make: Callable[[], bytes]
    seconds: float = 60  # stated in docs/limits.md; twice the time of two slow cores


def _zstd(chunk: bytes, times: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for _ in range(times):
            stream.write(chunk)
    return bytes(sink.getvalue())


def _log(fields: str, rest: bytes) -> bytes:
    return gzip.compress(f"#Version: 1.0\n#Fields: {fields}\n".encode() + rest)


def _event(**fields: object) -> bytes:
    event = {"eventType": "pageview", "siteId": "s", "visitorId": "v", "timestamp": f"{DAY}T10:00:00Z"}
    return json.dumps(event | fields).encode() + b"\n"


def _repeated_field(kilobytes: int) -> bytes:
    return gzip.compress(_event(email="x")[:-2] + b',"value":1' * (kilobytes * 100) + b"}\n")


def _letters(first: int) -> str:
    return "".join(map(chr, range(0x4E00 + first, 0x4E00 + first + 10_000)))


def _parquet(columns: dict[str, pa.Array], **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", **options)
    return sink.getvalue()


def _long_value(rows: int, bytes_of_value: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * bytes_of_value]))


def _usual_columns(rows: int) -> dict[str, pa.Array]:
    values = {"date": DAY, "time": "10:00:00", "cs-uri-stem": "/c", "sc-status": "200"}
    return {name: pa.array([value] * rows) for name, value in values.items()}


FIELDS = "date time cs-uri-stem sc-status"
CASES: dict[str, Hostile] = {
    "log: 30 MiB of newlines": Hostile(ACCESS_LOGS, lambda: gzip.compress(b"\n" * (30 * MIB))),
    "log: 10 million lines of one field": Hostile(ACCESS_LOGS, lambda: _log(FIELDS, b"x\n" * 10_000_000)),
    "log: a header of 100,000 fields": Hostile(
        ACCESS_LOGS, lambda: _log(" ".join(f"f{n}" for n in range(100_000)), b"x\n" * 100_000)
    ),
    "log: 300,000 headers": Hostile(
        ACCESS_LOGS, lambda: gzip.compress(b"#Fields: date\nx\n#Fields: time\ny\n" * 150_000)
    ),
    "log: 1,000 headers of 500 names": Hostile(
        ACCESS_LOGS,
        lambda: gzip.compress(
            b"".join(
                f"#Fields: {FIELDS} f{n} {' '.join(f'w{m}' for m in range(495))}\n{DAY}\t10:00:00\t/c\t200\n".encode()
                for n in range(1_000)
            )
        ),
        seconds=10,
    ),
    "log: lines of JSON with 100,000 keys": Hostile(
        ACCESS_LOGS,
        lambda: gzip.compress((json.dumps({f"k{n}": n for n in range(60_000)}) + "\n").encode() * 20),
    ),
    "log: a million empty gzip members": Hostile(ACCESS_LOGS, lambda: gzip.compress(b"", mtime=0) * 1_000_000),
    "log: zstd of 1 GiB of zeros": Hostile(ACCESS_LOGS, lambda: _zstd(b"\0" * MIB, 1024)),
    "Parquet: one value of 50 MB, 30 times": Hostile(
        ACCESS_LOGS, lambda: _parquet(_usual_columns(30) | {"cs(User-Agent)": _long_value(30, 50_000_000)})
    ),
    "Parquet: one value of 900 KB, 30,000 times": Hostile(
        ACCESS_LOGS, lambda: _parquet(_usual_columns(30_000) | {"cs-uri-query": _long_value(30_000, 900_000)})
    ),
    "Parquet: 3 million rows of nothing": Hostile(
        ACCESS_LOGS, lambda: _parquet({name: pa.nulls(3_000_000, pa.string()) for name in FIELDS.split()})
    ),
    "events: a batch of 200 kB with 4,000 children": Hostile(
        EVENTS,
        lambda: gzip.compress(_event(eventType="batch", eventData={"x": "y" * 200_000}, events=[{}] * 4_000)),
    ),
    "events: 500 batches of 12 kB with 1,000 children": Hostile(
        EVENTS,
        lambda: gzip.compress(_event(eventType="batch", eventData={"x": "y" * 12_000}, events=[{}] * 1_000) * 500),
    ),
    "events: 30 MiB of lines {}": Hostile(EVENTS, lambda: gzip.compress(b"{}\n" * (10 * MIB))),
    "events: an array of 10 million empty objects": Hostile(
        EVENTS, lambda: gzip.compress(b"[" + b"{}," * 9_999_999 + b"{}]"), seconds=240
    ),
    "events: an array of 3 million broken elements": Hostile(
        EVENTS, lambda: gzip.compress(b"[" + _event().rstrip() + b"," + b'{"a":"x},{' * 3_000_000)
    ),
    "events: a repeated field of 25 kB": Hostile(EVENTS, lambda: _repeated_field(25), seconds=10),
    "events: a repeated field of 50 kB": Hostile(EVENTS, lambda: _repeated_field(50), seconds=10),
    "events: a repeated field of 100 kB": Hostile(EVENTS, lambda: _repeated_field(100), seconds=10),
    "events: 100 lines of 16,384 backslashes": Hostile(
        EVENTS, lambda: gzip.compress((b"\\" * 16_384 + b"\n") * 100), seconds=10
    ),
    "log: 100 lines of 16,384 backslashes": Hostile(
        ACCESS_LOGS, lambda: _log(FIELDS, (b"\\" * 16_384 + b"\n") * 100), seconds=10
    ),
    "events: 20 hosts of 10,000 different letters": Hostile(
        EVENTS,
        lambda: gzip.compress(b"".join(_event(url=f"https://{_letters(n)}.com/") for n in range(20))),
        seconds=10,
    ),
    "events: 100 agents of 10,000 letters": Hostile(
        EVENTS,
        lambda: gzip.compress(
            b"".join(_event(browser={"userAgent": f"{n} " + "Mozilla/5.0 (Linux; " * 500}) for n in range(100))
        ),
        seconds=10,
    ),
    "events: 100,000 lines of ever new keys": Hostile(
        EVENTS, lambda: gzip.compress(b"".join(b'{"k%d":1}\n' % n for n in range(100_000)))
    ),
    "events: 100,000 versions": Hostile(
        EVENTS, lambda: gzip.compress(b"".join(_event(schema_version=n + 2) for n in range(100_000)))
    ),
    "events: lines with 60,000 keys": Hostile(
        EVENTS, lambda: gzip.compress(b"".join(_event(**{f"k{m}-{n}": 1 for n in range(60_000)}) for m in range(20)))
    ),
}


def run(name: str, folder: str) -> int:
    """Ingests one of `CASES`. Returns 1, the number of objects."""
    take(name, folder)
    return 1


def take(name: str, folder: str) -> DayResult:
    """Writes the object of a case into a folder and ingests it."""
    case = CASES[name]
    by_site = case.dataset.by_site
    year, month, day = DAY.split("-")
    place = f"domain={SITE}/year={year}/month={month}/day={day}/hour=10" if by_site else "."
    path = Path(folder, "source", place, f"E.{DAY}-10.a.gz")
    path.parent.mkdir(parents=True)
    path.write_bytes(case.make())
    return ingest_day(
        Lake(str(Path(folder, "lake"))),
        FolderSource(Path(folder, "source")),
        Partition(case.dataset.name, parse_day(DAY), SITE if by_site else None),
        IngestOptions(hash_key="a key that hashes nothing of worth"),
    )


def tell(name: str, folder: str) -> None:
    """Prints one line of JSON: the day's result, and the peak memory of this process in MiB."""
    result = take(name, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"published": result.published, "reason": result.reason, "read": result.rows_read, "peak": peak}))
