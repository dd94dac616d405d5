"""The partitions of all assets: daily, UTC."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence

import dagster as dg

from ingest.days import day_text, parse_day
from orchestration.settings import load_partition_settings

_settings = load_partition_settings()
# Today is a partition too, so that its figures so far can be built.
daily = dg.DailyPartitionsDefinition(start_date=day_text(_settings.first_day), timezone="UTC", end_offset=1)

# One run covers many days, because importing Dagster and dbt costs more than a day of small logs. It does not cover a
# year: an interrupted backfill keeps its finished windows, and DuckDB holds a window in memory.
range_in_windows = dg.BackfillPolicy.multi_run(_settings.backfill_window_days)


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def next_day(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1)


def days_between(first: dt.date, last: dt.date) -> list[dt.date]:
    """The days from first to last, both included."""
    return [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]


def consecutive(days: Iterable[dt.date]) -> list[list[dt.date]]:
    """The days, sorted and split at gaps; a window can hold one such stretch."""
    runs: list[list[dt.date]] = []
    for day in sorted(set(days)):
        if runs and next_day(runs[-1][-1]) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def covering(
    days: Iterable[dt.date], longest: int, may_lie_between: Callable[[dt.date], bool] = lambda _: True
) -> list[list[dt.date]]:
    """Stretches of consecutive days that hold all of these days, as few as can be.

    Args:
        longest: the most days of a stretch.
        may_lie_between: whether a stretch may hold this day, which is none of `days`.
    """
    stretches: list[list[dt.date]] = []
    for day in sorted(set(days)):
        if stretches and (day - stretches[-1][0]).days < longest:
            between = days_between(next_day(stretches[-1][-1]), day)[:-1]
            if all(map(may_lie_between, between)):
                stretches[-1] += [*between, day]
                continue
        stretches.append([day])
    return stretches


def range_tags(days: Sequence[dt.date]) -> dict[str, str]:
    """Tags of a run over these consecutive days."""
    return {
        "dagster/asset_partition_range_start": day_text(days[0]),
        "dagster/asset_partition_range_end": day_text(days[-1]),
    }


def days_of_tags(tags: Mapping[str, str]) -> list[dt.date]:
    """The days of a run with these tags; empty if the run names no day."""
    first = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    last = tags.get("dagster/asset_partition_range_end") or first
    return days_between(parse_day(first), parse_day(last)) if first and last else []
