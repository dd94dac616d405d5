"""Small event files, taken in by ingest, for the tests of events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ingest.lake.files import Lake
from ingest.native.library import AUTO
from ingest.partition.day import DayResult, IngestOptions, ingest_day
from ingest.source import FolderSource
from tests.partitions import events_of

DAY = "2026-01-12"
SITE = "example.com"
HASH_KEY = "a key for tests that is long enough"
OPTIONS = IngestOptions(hash_key=HASH_KEY)


def pixel(**fields: Any) -> dict[str, Any]:
    """A pixel event; a field that is None is sent as null."""
    event = {"eventType": "pageview", "siteId": "s", "visitorId": "vis_1", "timestamp": f"{DAY}T10:00:00.000Z"}
    return event | fields


def line(event: object) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


def event_key(site: str, day: str, name: str, hour: int = 10) -> str:
    year, month, number = day.split("-")
    folder = f"domain={site}/year={year}/month={month}/day={number}/hour={hour:02}"
    return f"{folder}/events-{day}-{hour:02}.{name}.jsonl"


class Events:
    """A folder of event files, and the lake that they are taken into."""

    def __init__(self, folder: Path, reader: str = AUTO) -> None:
        self._reader = reader
        self.folder = folder / "events"
        self.lake = Lake(str(folder / "lake"))

    def write(
        self, *lines: bytes | dict[str, Any], hour: int = 10, site: str = SITE, name: str = "", end: bytes = b"\n"
    ) -> str:
        """One object of lines; returns its key."""
        body = b"\n".join(each if isinstance(each, bytes) else line(each) for each in lines) + end
        return self.write_bytes(body, hour, site, name)

    def write_bytes(self, body: bytes, hour: int = 10, site: str = SITE, name: str = "") -> str:
        year, month, day = DAY.split("-")
        key = f"domain={site}/year={year}/month={month}/day={day}/hour={hour:02}/events-{DAY}-{hour:02}{name}.jsonl"
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return key

    def ingest(self, site: str = SITE, options: IngestOptions = OPTIONS) -> DayResult:
        options = replace(options, reader=self._reader)
        return ingest_day(self.lake, FolderSource(self.folder), events_of(DAY, site), options)

    def rows(self, site: str = SITE) -> list[dict[str, Any]]:
        """All rows of a site that are published, whatever their day, by object, line and place in a batch."""
        keys = [file.key for file in self.lake.files("raw/events") if f"/site={site}/" in file.key]
        rows = [row for key in keys for row in self.lake.read_table(key).to_pylist()]
        return sorted(rows, key=lambda row: (row["source_object"], row["source_line"], row["batch_index"] or 0))

    def rejects(self, site: str = SITE) -> list[dict[str, Any]]:
        """The rejects of the day, published or refused."""
        for key in (events_of(DAY, site).rejects_file, events_of(DAY, site).refused_rejects_file):
            if self.lake.exists(key):
                return self.lake.read_table(key).to_pylist()
        return []

    def take(self, *lines: bytes | dict[str, Any]) -> list[dict[str, Any]]:
        """The rows that these lines become; a day of any number of rejects is let through."""
        self.write(*lines)
        result = self.ingest(options=lenient())
        assert result.published, result.reason
        assert result.rows_read == result.rows_kept + result.rows_rejected + result.rows_duplicate
        return self.rows()


def lenient() -> IngestOptions:
    from ingest.partition.audit import Limits

    return IngestOptions(hash_key=HASH_KEY, limits=Limits(max_reject_share=1.0))


def reasons(rejects: Sequence[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(each["source_line"], each["reason"]) for each in rejects]
