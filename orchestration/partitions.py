"""The one partitioning of everything: days, UTC."""

import datetime as dt
from collections.abc import Iterable

import dagster as dg

from orchestration.settings import load_partition_settings

_settings = load_partition_settings()
# Today is a partition too: its numbers so far can be asked for.
daily = dg.DailyPartitionsDefinition(start_date=_settings.first_day.isoformat(), timezone="UTC", end_offset=1)

# One run for many days: importing Dagster and dbt costs more than a day of small logs. Not one for a year: what was
# done is kept when it is interrupted, and DuckDB holds a window in memory.
range_in_windows = dg.BackfillPolicy.multi_run(_settings.backfill_window_days)


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def next_day(day: str) -> str:
    return (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()


def days_between(first: dt.date, last: dt.date) -> list[str]:
    """Both included."""
    return [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def consecutive(days: Iterable[str]) -> list[list[str]]:
    """Days, sorted, in runs without a gap: what one window can hold."""
    runs: list[list[str]] = []
    for day in sorted(set(days)):
        if runs and next_day(runs[-1][-1]) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def range_tags(days: list[str]) -> dict[str, str]:
    """Tags of a run over these days without a gap."""
    return {"dagster/asset_partition_range_start": days[0], "dagster/asset_partition_range_end": days[-1]}
