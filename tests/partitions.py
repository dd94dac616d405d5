"""Days and partitions of tests, which write days as text."""

from __future__ import annotations

from datetime import date

from ingest.days import parse_day
from ingest.lake.layout import Partition


def logs_of(day: str) -> Partition:
    return Partition("access_logs", parse_day(day))


def events_of(day: str, site: str | None = None) -> Partition:
    return Partition("events", parse_day(day), site)


def days_of(*texts: str) -> list[date]:
    return [parse_day(text) for text in texts]
