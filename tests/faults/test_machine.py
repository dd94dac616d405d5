"""Faults of the machine that ingests: its disk, its memory, its clock. What dbt makes of them: test_builds.py."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo.database import Database

from ingest.days import parse_day
from ingest.errors import LakeError
from ingest.lake.files import Lake
from ingest.partition.day import IngestOptions, ingest_day
from ingest.source import FolderSource
from orchestration.operations.status import status
from orchestration.publishing.entries import ensure_indexes
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import COLLECTION, KIND, publish_day
from tests.event_lines import line as event_line
from tests.event_lines import pixel
from tests.faults.fixtures import files_of, mounted, process_in, rows_in
from tests.faults.marts import AFTER, BEFORE
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried
from tests.log_lines import DAY, HASH_KEY, LogDay, lines, log
from tests.partitions import events_of, logs_of
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

LAYERS = ("raw", "rejects", "ledger")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path)


def undisturbed(day: LogDay, folder: Path) -> dict[str, bytes]:
    lake = Lake(str(folder / "undisturbed"))
    assert day.ingest(lake).published
    return files_of(lake, *LAYERS)


# Disk.


def test_the_disk_is_full(day: LogDay, tmp_path: Path, tried: Tried) -> None:
    with mounted(tmp_path / "small", "512k") as folder:
        lake, ballast = Lake(str(folder / "lake")), folder / "ballast"
        day.add(log(lines(100)))
        assert day.ingest(lake).published
        before = files_of(lake, *LAYERS)
        day.add(log(lines(5_000, start=100)), "more")
        free = os.statvfs(folder)
        ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - (24 << 10)))
        with pytest.raises(
            LakeError, match=r"the disk is full\. Free some space and run again; the lake is as it was$"
        ):
            day.ingest(lake)
        assert files_of(lake, *LAYERS) == before
        ballast.unlink()
        assert day.ingest(lake).published
        found = files_of(lake, *LAYERS)
    expected = undisturbed(day, tmp_path)
    assert found == expected
    tried("disk: full while ingesting", BY_SECOND_RUN, rows_in(expected) - rows_in(found))


def test_the_lake_is_read_only(day: LogDay, tmp_path: Path, tried: Tried) -> None:
    with mounted(tmp_path / "small", "2m") as folder:
        lake = Lake(str(folder / "lake"))
        day.add(log(lines(100)))
        assert day.ingest(lake).published
        before = files_of(lake, *LAYERS)
        day.add(log(lines(50, start=100)), "more")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(
            LakeError, match=r"the disk is read-only\. Mount it for writing and run again, or correct CLICKLAKE_LAKE$"
        ):
            day.ingest(lake)
        assert files_of(lake, *LAYERS) == before
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        assert day.ingest(lake).published
        found = files_of(lake, *LAYERS)
    expected = undisturbed(day, tmp_path)
    assert found == expected
    tried("disk: lake is read-only", BY_SECOND_RUN, rows_in(expected) - rows_in(found))


# Memory.

# Ingests as a step does, in a process that may have so much more memory than it has after its start; says how it went.
WITH_LITTLE_MEMORY = """
import json, resource, sys
import dagster as dg
from orchestration.failures import explained
from tests.log_lines import DAY, OPTIONS
from tests.partitions import logs_of
from ingest.partition.day import ingest_day
from ingest.lake.files import Lake
from ingest.source import FolderSource

lake, logs, more = sys.argv[1:]
ingest_day(Lake(lake + "-other"), FolderSource(logs + "-small"), logs_of(DAY), OPTIONS)  # all is loaded
has = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (has + int(more), has + int(more)))
try:
    with explained():
        ingest_day(Lake(lake), FolderSource(logs), logs_of(DAY), OPTIONS)
    said = "done"
except dg.Failure as failure:
    said = failure.description
print(json.dumps(said))
"""


def test_too_little_memory_for_ingest(day: LogDay, tmp_path: Path, tried: Tried) -> None:
    small = Path(f"{day.logs}-small")
    small.mkdir()
    (small / f"E1TEST.{DAY}-10.a.gz").write_bytes(gzip.compress(log(lines(10))))
    day.add(log(lines(100)))
    assert day.ingest().published
    before = files_of(day.lake, *LAYERS)
    day.add(log(lines(250_000, start=100)), "large")
    done = subprocess.run(
        [sys.executable, "-c", WITH_LITTLE_MEMORY, str(day.lake.root), str(day.logs), str(16 << 20)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"out of memory\. Give the process more", json.loads(done.stdout)), done.stdout
    assert files_of(day.lake, *LAYERS) == before
    assert day.ingest().published
    found, expected = files_of(day.lake, *LAYERS), undisturbed(day, tmp_path)
    assert found == expected
    tried("memory: too little for ingest", BY_SECOND_RUN, rows_in(expected) - rows_in(found))


# Clock. A process in another zone that builds marts too: test_builds.py.

CHANGES = {
    "America/New_York": ("2026-03-08", "2026-11-01"),
    "Europe/Berlin": ("2026-03-29", "2026-10-25"),
    "Pacific/Apia": ("2026-03-08", "2026-03-29"),  # 13 hours ahead: most of its day is another one
}


@pytest.mark.parametrize("zone", CHANGES)
def test_a_process_in_another_zone(tmp_path: Path, tried: Tried, monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    for date in CHANGES[zone]:
        folder = tmp_path / date
        at_home = ingested(folder / "utc", date)
        with process_in(zone, monkeypatch):
            assert time.strftime("%H", time.localtime(0)) != "00"
            abroad = ingested(folder / "abroad", date)
        assert abroad == at_home
        tried("clock: process in another time zone, on a day of a change of its clock", BY_ITSELF, 0)


def ingested(folder: Path, date: str) -> dict[str, bytes]:
    """The lake of a day with a log line and an event for each quarter of an hour, made and taken in here and now."""
    logs, events, lake = folder / "logs", folder / "events" / "domain=shop.example", Lake(str(folder / "lake"))
    year, month, number = date.split("-")
    events = events / f"year={year}/month={month}/day={number}/hour=12"
    for place in (logs, events):
        place.mkdir(parents=True)
    body = log(line for quarter in range(96) for line in lines(1, 900 * quarter, date=date))
    at = [f"{date}T{quarter // 4:02}:{15 * (quarter % 4):02}:00" for quarter in range(96)]
    sent = [pixel(timestamp=each + ending) for each in at for ending in ("Z", "-05:00", "")]
    files = {
        logs / f"E1TEST.{date}-10.a.gz": gzip.compress(body, mtime=0),
        events / f"events-{date}-12.jsonl": b"\n".join(map(event_line, sent)) + b"\n",
    }
    for path, content in files.items():
        path.write_bytes(content)
        os.utime(path, (1_767_225_600, 1_767_225_600))
    options = IngestOptions(HASH_KEY)
    ingest_day(lake, FolderSource(logs), logs_of(date), options)
    ingest_day(lake, FolderSource(folder / "events"), events_of(date, "shop.example"), options)
    return files_of(lake, *LAYERS)


def test_the_clock_is_set_back_between_two_runs(day: LogDay, tmp_path: Path, tried: Tried) -> None:
    """What was written seems to come from the future. Whether a day is taken is told by its objects, not by times."""
    day.add(log(lines(100)))
    assert day.ingest().published
    ahead = time.time() + 86_400
    for file in day.lake.files(""):
        os.utime(day.lake.path(file.key), (ahead, ahead))
    day.add(log(lines(50, start=100)), "more")
    sources = {"access_logs": FolderSource(day.logs)}
    assert status(day.lake, sources, None, None)[0].tables["raw.access_logs"] == "out of date"
    assert day.ingest().published
    assert status(day.lake, sources, None, None)[0].tables["raw.access_logs"] == "published"
    found, expected = files_of(day.lake, *LAYERS), undisturbed(day, tmp_path)
    assert found == expected
    tried("clock: set back between two runs", BY_ITSELF, rows_in(expected) - rows_in(found))


def test_the_clock_is_set_back_between_two_publications(tried: Tried, embedded_mongodb_url: str) -> None:
    now = datetime(2026, 1, 13, 6, tzinfo=UTC)
    with connect(embedded_mongodb_url) as client:
        database: Database = client["clock"]
        ensure_indexes(database, KIND)
        publish_day(database, parse_day(DAY), BEFORE, now)
        report = publish_day(database, parse_day(DAY), AFTER, now - timedelta(hours=1))
        again = publish_day(database, parse_day(DAY), AFTER, now - timedelta(hours=2))
        live = [each for each in database[COLLECTION].find() if "deletedAt" not in each]
        client.drop_database("clock")
    assert (report.inserted, report.updated, report.soft_deleted, report.documents) == (20, 50, 10, 70)
    assert (again.unchanged, again.documents) == (70, 70)
    assert {each["metrics"]["clicks"] for each in live} == {2}
    tried("clock: set back between two runs", BY_ITSELF, len(AFTER) - len(live))
