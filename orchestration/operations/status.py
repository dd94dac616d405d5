"""The state of the lake: for each day and table published, refused, missing or out of date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import Mart, Partition, event_date_of, partition_of, quarantine_folder, raw_folder
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, EVENTS
from ingest.partition.ledger import is_judged, is_kept_as_it_is, objects_by_day
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.source import Source, SourceObject
from orchestration.marts.known import DAILY_AGGREGATES, SESSIONS
from orchestration.publishing.target import Target

PUBLISHED, REFUSED, MISSING, OUT_OF_DATE = "published", "refused", "missing", "out of date"
REFUSED_BUT_KEPT = "refused, last good kept"
PARTLY_REFUSED = "partly refused"
UNREADABLE = "unreadable"
# Mart → the dataset that it is made from, for the marts that the status shows.
MARTS = {DAILY_AGGREGATES: ACCESS_LOGS, SESSIONS: EVENTS}


@dataclass(frozen=True)
class DayStatus:
    """tables: `raw.<dataset>` or `marts.<model>` → state."""

    day: dt.date
    objects: int
    tables: dict[str, str]
    reason: str | None


def status(lake: Lake, sources: Mapping[str, Source], first: dt.date | None, last: dt.date | None) -> list[DayStatus]:
    """The state of every day from first to last that a source or the lake knows; None sets no limit."""
    tables: dict[str, dict[dt.date, str]] = {}
    days: dict[dt.date, int] = {}
    problems: dict[dt.date, list[str]] = {}
    quarantine = lake.files(quarantine_folder())
    quarantined = {(each.table, each.day) for file in quarantine if (each := partition_of(file.key))}
    for name, source in sources.items():
        listed = objects_by_day(source.objects())
        for day, objects in listed.items():
            days[day] = days.get(day, 0) + len(objects)
        raw = lake.files(raw_folder(name))
        own = {each.day for file in raw if (each := partition_of(file.key)) and event_date_of(file.key) == each.day}
        newest = _newest(raw)
        refused = {day for table, day in quarantined if table == name}
        known = {*listed, *refused, *newest}
        states = tables[f"raw.{name}"] = {}
        for day in known:
            try:
                states[day] = _raw_state(
                    lake, source, Partition(name, day), listed.get(day, []), day in own, day in refused
                )
            except TransientLakeError:
                raise
            except LakeError as error:
                states[day] = UNREADABLE
                problems.setdefault(day, []).append(f"{name}: {error}")
        for mart in (mart for mart, dataset in MARTS.items() if dataset.name == name):
            files = _files_of(lake, mart)
            refused = {day for table, day in quarantined if table == mart.name}
            tables[mart.view] = {
                day: _mart_state(files.get(day), newest.get(day), day in refused) for day in {*known, *files, *refused}
            }
    return [
        DayStatus(
            day=day,
            objects=days.get(day, 0),
            tables={table: states.get(day, MISSING) for table, states in tables.items()},
            reason="; ".join([*problems.get(day, ()), *_reasons(lake, quarantine, day)]) or None,
        )
        for day in sorted({day for states in tables.values() for day in states})
        if (first or dt.date.min) <= day <= (last or dt.date.max)
    ]


def _newest(raw: Iterable[LakeFile]) -> dict[dt.date, dt.datetime]:
    """Day → when the newest file with rows of the day was put in place, from any source day."""
    found: dict[dt.date, dt.datetime] = {}
    for file in raw:
        if day := event_date_of(file.key):
            found[day] = max(file.modified, found.get(day, file.modified))
    return found


def _files_of(lake: Lake, mart: Mart) -> dict[dt.date, LakeFile]:
    return {day: file for file in lake.files(mart.folder) if (day := mart.day_of(file.key))}


def _raw_state(
    lake: Lake, source: Source, day: Partition, listed: list[SourceObject], is_published: bool, is_refused: bool
) -> str:
    if is_kept_as_it_is(lake, source, day):
        return PUBLISHED
    if not is_judged(lake, day, listed):
        return OUT_OF_DATE if is_published else MISSING
    if is_refused and DATASETS[day.table].by_site and is_published:
        return PARTLY_REFUSED
    if is_refused:
        return REFUSED_BUT_KEPT if is_published else REFUSED
    return PUBLISHED if is_published else MISSING


def _mart_state(mart: LakeFile | None, newest_raw: dt.datetime | None, is_refused: bool) -> str:
    if is_refused:
        return REFUSED_BUT_KEPT if mart else REFUSED
    if mart is None:
        return MISSING
    return OUT_OF_DATE if newest_raw and newest_raw > mart.modified else PUBLISHED


def _reasons(lake: Lake, quarantine: Iterable[LakeFile], day: dt.date) -> list[str]:
    reasons: list[str] = []
    for file in verdict_files(quarantine):
        told = partition_of(file.key)
        if told and told.day == day:
            refused, verdicts = read_verdict(lake, file)
            table = f"{refused.table} {refused.site}" if refused.site else refused.table
            reasons += [f"{table}: {reason['check']}: {reason['message']}" for reason in verdicts]
    return reasons


def published_days(lake: Lake, mart: Mart) -> set[dt.date]:
    """The days for which a mart has a partition."""
    return set(_files_of(lake, mart))


def target_states(lake: Lake, target: Target[Any], opened: Any, days: Sequence[dt.date]) -> dict[dt.date, str]:
    """Day → whether the target holds what the mart holds, by number and sums of measures.

    Args:
        days: days for which the mart has a partition.

    Raises:
        LakeError: some file of the mart cannot be read.
        PublishError: the target cannot be queried.
    """
    if not days or target.comparison is None:
        return {}
    mart = _totals(lake, target, target.comparison.rows, days)
    asked = min(days), max(days)
    published = {day: _rounded(figures) for day, figures in target.comparison.published(opened, *asked).items()}
    none = (0.0,) * (1 + len(target.measures))
    is_same = {day: published.get(day, none) == mart[day] for day in days}
    return {day: PUBLISHED if is_same[day] else OUT_OF_DATE if day in published else MISSING for day in days}


def _totals(lake: Lake, target: Target[Any], rows: str, days: Iterable[dt.date]) -> dict[dt.date, tuple[float, ...]]:
    """Day → number of the mart's rows that are to be published, and the sums of their measures."""
    sums = "".join(f", coalesce(sum({measure}), 0)" for measure in target.measures)
    found = {}
    with lake.connect() as connection:
        for day in days:
            connection.register("day_of_mart", lake.rows(connection, target.mart.file(day)))
            query = f"select count(*){sums} from day_of_mart where {rows}"  # noqa: S608 - ours
            found[day] = _rounded(connection.execute(query).fetchall()[0])
    return found


def _rounded(figures: Iterable[Any]) -> tuple[float, ...]:
    """Figures rounded to 6 decimals: a mart has exact decimals, a target may have the nearest doubles."""
    return tuple(round(float(figure), 6) for figure in figures)
