"""The one partitioning of everything: days, UTC."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from ingest.days import day_text, parse_day
from orchestration.settings import load_partition_settings

_settings = load_partition_settings()
# Today is a partition too: its numbers so far can be asked for.
daily = dg.DailyPartitionsDefinition(start_date=day_text(_settings.first_day), timezone="UTC", end_offset=1)

# One run for many days: importing Dagster and dbt costs more than a day of small logs. Not one for a year: what was
# done is kept when it is interrupted, and DuckDB holds a window in memory.
range_in_windows = dg.BackfillPolicy.multi_run(_settings.backfill_window_days)


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def next_day(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1)


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """Both included."""
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def consecutive(days: Iterable[dt.date]) -> list[list[dt.date]]:
    """Days, sorted, in runs without a gap: what one window can hold."""
    runs: list[list[dt.date]] = []
    for day in sorted(set(days)):
        if runs and next_day(runs[-1][-1]) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def range_tags(days: Sequence[dt.date]) -> dict[str, str]:
    """Tags of a run over these days without a gap."""
    return {
        "dagster/asset_partition_range_start": day_text(days[0]),
        "dagster/asset_partition_range_end": day_text(days[-1]),
    }


def day_tags(day: dt.date) -> dict[str, str]:
    """Tags of a run over a day that a sensor or a schedule asked for."""
    return {"dagster/partition": day_text(day)}


def days_of_tags(tags: Mapping[str, str]) -> list[dt.date]:
    """The days of a run with these tags; none of one that names no day."""
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    return days_between(parse_day(first), parse_day(last)) if first and last else []
