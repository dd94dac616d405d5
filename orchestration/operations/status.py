"""The state of the lake: for each day and table published, refused, missing or out of date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import Mart, Partition, day_of_folder, partition_of, quarantine_folder, raw_folder
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, EVENTS
from ingest.partition.ledger import is_kept_as_it_is, not_read, objects_by_day, unjudged, version_of, versions_taken
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.source import Source, SourceObject
from orchestration.marts.known import DAILY_AGGREGATES, SESSIONS
from orchestration.partitions import days_between, next_day, today
from orchestration.publishing.target import Target

PUBLISHED, REFUSED, MISSING, OUT_OF_DATE = "published", "refused", "missing", "out of date"
REFUSED_BUT_KEPT = "refused, last good kept"
PARTLY_REFUSED = "partly refused"
OBJECTS_GONE = "objects gone"
UNREADABLE = "unreadable"
DAYS_SHOWN = 30  # if no first day is asked for
FOLDERS_LISTED = 100  # folders of days; beyond, the folder that they are in is listed as a whole
# Mart → the dataset that it is made from, for the marts that the status shows.
MARTS = {DAILY_AGGREGATES: ACCESS_LOGS, SESSIONS: EVENTS}


@dataclass(frozen=True)
class DayStatus:
    """tables: `raw.<dataset>` or `marts.<model>` → state."""

    day: dt.date
    objects: int
    tables: dict[str, str]
    reason: str | None


def days_asked(lake: Lake, sources: Mapping[str, Source], first: dt.date | None, last: dt.date | None) -> list[dt.date]:
    """The days from first to last. Without a first day `DAYS_SHOWN` days up to the last one; without a last day up to
    tomorrow, since clocks differ. With neither, the newest `DAYS_SHOWN` days of the lake and all later ones, or the
    newest of the sources if the lake is empty.

    Nothing is read but names of folders, and the sources only if the lake is empty.
    """
    end = last or max(next_day(today()), first or dt.date.min)
    newest = end
    if not (first or last):
        known = _days_of_lake(lake, sources) or {item.day for source in sources.values() for item in source.objects()}
        newest = max(known, default=end)
    first = first or newest - dt.timedelta(days=DAYS_SHOWN - 1)
    return days_between(first, max(end, newest))


def _days_of_lake(lake: Lake, sources: Iterable[str]) -> set[dt.date]:
    """The days that folders of raw, of the marts that are shown, and of quarantine name."""
    tables = [*sources, *(mart.name for mart, dataset in MARTS.items() if dataset.name in sources)]
    folders = [*map(raw_folder, sources), *(mart.folder for mart in MARTS), *map(quarantine_folder, tables)]
    return {day for folder in folders for name in lake.folders(folder) if (day := day_of_folder(name))}


def status(lake: Lake, sources: Mapping[str, Source], first: dt.date | None, last: dt.date | None) -> list[DayStatus]:
    """The state of each of the `days_asked` that a source or the lake knows. Other days are neither listed nor read."""
    asked = days_asked(lake, sources, first, last)
    wanted = set(asked)
    tables: dict[str, dict[dt.date, str]] = {}
    days: dict[dt.date, int] = {}
    problems: dict[dt.date, list[str]] = {}
    quarantine = _quarantined(lake, wanted)
    quarantined = {
        (each.table, each.day) for files in quarantine.values() for file in files if (each := partition_of(file.key))
    }
    for name, source in sources.items():
        listed = objects_by_day(source.objects(asked))
        for day, objects in listed.items():
            days[day] = days.get(day, 0) + len(objects)
        raw = _files_of(lake, raw_folder(name), {day: raw_folder(name, day) for day in asked})
        newest = {day: max(file.modified for file in files) for day, files in raw.items()}
        own = {
            day
            for day, files in raw.items()
            if any(file.key.startswith(Partition(name, day).raw_folder(day)) for file in files)
        }
        refused = {day for table, day in quarantined if table == name}
        known = {*listed, *refused, *newest}
        states = tables[f"raw.{name}"] = {}
        for day in known:
            try:
                partition, objects = Partition(name, day), listed.get(day, [])
                if is_kept_as_it_is(lake, source, partition):
                    came = not_read(lake, source, partition, objects)
                    states[day] = OUT_OF_DATE if came else PUBLISHED
                    problems.setdefault(day, []).extend([f"{name}: {came}"] if came else [])
                else:
                    states[day] = _raw_state(lake, partition, objects, day in own, day in refused)
            except TransientLakeError:
                raise
            except LakeError as error:
                states[day] = UNREADABLE
                problems.setdefault(day, []).append(f"{name}: {error}")
        for mart in (mart for mart, dataset in MARTS.items() if dataset.name == name):
            files = {day: files[0] for day, files in _mart_files(lake, mart, asked).items()}
            refused = {day for table, day in quarantined if table == mart.name}
            tables[mart.view] = {
                day: _mart_state(files.get(day), newest.get(day), day in refused) for day in {*known, *files, *refused}
            }
    return [
        DayStatus(
            day=day,
            objects=days.get(day, 0),
            tables={table: states.get(day, MISSING) for table, states in tables.items()},
            reason="; ".join([*problems.get(day, ()), *_reasons(lake, quarantine.get(day, ()))]) or None,
        )
        for day in sorted({day for states in tables.values() for day in states})
    ]


def _files_of(lake: Lake, folder: str, folders: Mapping[dt.date, str]) -> dict[dt.date, list[LakeFile]]:
    """Day → the files below its folder; days without files are left out. Many days cost fewer requests to S3 if all of
    `folder` is listed.

    Args:
        folders: day → its folder, below `folder`.
    """
    few = len(folders) <= FOLDERS_LISTED
    day_of = {name.rstrip("/"): day for day, name in folders.items()}
    depth = folder.rstrip("/").count("/") + 2  # parts of the key of a day's folder
    found: dict[dt.date, list[LakeFile]] = {}
    for file in lake.files_below(folders.values()) if few else lake.files(folder):
        if day := day_of.get("/".join(file.key.split("/", depth)[:depth])):
            found.setdefault(day, []).append(file)
    return found


def _mart_files(lake: Lake, mart: Mart, days: Iterable[dt.date]) -> dict[dt.date, list[LakeFile]]:
    return _files_of(lake, mart.folder, {day: mart.day_folder(day) for day in days})


def _quarantined(lake: Lake, days: Collection[dt.date]) -> dict[dt.date, list[LakeFile]]:
    """Day → its files in quarantine, of all tables. It is listed as a whole: it holds only what is wrong."""
    found: dict[dt.date, list[LakeFile]] = {}
    for file in lake.files(quarantine_folder()):
        if (told := partition_of(file.key)) and told.day in days:
            found.setdefault(told.day, []).append(file)
    return found


def _raw_state(lake: Lake, day: Partition, listed: list[SourceObject], is_published: bool, is_refused: bool) -> str:
    if new := unjudged(lake, day, listed):
        if not is_published:
            return MISSING
        is_gone = all(set(map(version_of, each)) < (versions_taken(lake, part) or set()) for part, each in new.items())
        return OBJECTS_GONE if is_gone else OUT_OF_DATE
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


def _reasons(lake: Lake, quarantined: Iterable[LakeFile]) -> list[str]:
    """The reasons of a day's refusals.

    Args:
        quarantined: the day's files in quarantine.
    """
    reasons: list[str] = []
    for file in verdict_files(quarantined):
        refused, verdicts = read_verdict(lake, file)
        table = f"{refused.table} {refused.site}" if refused.site else refused.table
        reasons += [f"{table}: {reason['check']}: {reason['message']}" for reason in verdicts]
    return reasons


def published_days(lake: Lake, mart: Mart, days: Iterable[dt.date]) -> set[dt.date]:
    """The days, of these, for which a mart has a partition."""
    return set(_mart_files(lake, mart, days))


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
