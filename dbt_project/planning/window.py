"""Windows of days, and the days around them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from ingest.days import day_text, parse_day


class Around(NamedTuple):
    """Numbers of days before and after a day."""

    before: int
    after: int


NOTHING_AROUND = Around(0, 0)


def window(start: str | None, end: str | None) -> list[date]:
    """The days from `start` to `end`, excluding the end, for dbt's `--event-time-start` and `--event-time-end`; empty
    without both. Times within a day are widened to whole days."""
    if not (start and end):
        return []
    first, behind = parse_day(start[:10]), parse_day(end[:10])
    if end[11:].replace("0", "").replace(":", ""):
        behind += timedelta(days=1)
    return [first + timedelta(days=offset) for offset in range((behind - first).days)]


def shifted(day: date, days: int) -> date:
    """The day `days` days later, or earlier if negative; the calendar's first or last day on overflow."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.min if days < 0 else date.max


def around(days: Iterable[date], span: Around) -> list[date]:
    """The given days and the days around each of them, in order, each once."""
    return sorted({shifted(day, offset) for day in days for offset in range(-span.before, span.after + 1)})


def iso(days: Iterable[date]) -> list[str]:
    return [day_text(day) for day in days]
