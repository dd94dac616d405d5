"""The state of the lake: for each day and table published, refused, missing or out of date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import mart_folder, raw_folder
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, EVENTS, Dataset
from ingest.partition.ledger import is_judged, objects_by_day
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.source import Source, SourceObject
from orchestration.publishing.target import Target

PUBLISHED, REFUSED, MISSING, OUT_OF_DATE = "published", "refused", "missing", "out of date"
REFUSED_BUT_KEPT = "refused, last good kept"
PARTLY_REFUSED = "partly refused"
UNREADABLE = "unreadable"
# Mart → the dataset that it is made of, of the marts that are looked at.
MARTS = {"daily_aggregates": ACCESS_LOGS, "sessions": EVENTS}
PARTITION_COLUMNS = {"daily_aggregates": "report_date", "sessions": "session_date"}


@dataclass(frozen=True)
class DayStatus:
    """tables: `raw.<dataset>` and `marts.<model>` → its state."""

    day: str
    objects: int
    tables: dict[str, str]
    reason: str | None


def status(lake: Lake, sources: Mapping[str, Source], first: dt.date | None, last: dt.date | None) -> list[DayStatus]:
    """The state of every day between first and last that a source or the lake knows; of all without them."""
    tables: dict[str, dict[str, str]] = {}
    days: dict[str, int] = {}
    problems: dict[str, list[str]] = {}
    quarantine = lake.files("quarantine")
    quarantined = {(file.key.split("/")[1], file.partition("day") or "") for file in quarantine}
    for name, source in sources.items():
        listed = objects_by_day(source.objects())
        for day, objects in listed.items():
            days[day] = days.get(day, 0) + len(objects)
        raw = lake.files(raw_folder(name))
        own = {
            file.partition("source_date")
            for file in raw
            if file.partition("event_date") == file.partition("source_date")
        }
        refused = {day for table, day in quarantined if table == name}
        of_other_days = {file.partition("event_date") for file in raw}  # rows that came with their files
        known = {day for day in {*listed, *own, *refused, *of_other_days} if day}
        states = tables[f"raw.{name}"] = {}
        for day in known:
            try:
                states[day] = _raw_state(lake, DATASETS[name], day, listed.get(day, []), day in own, day in refused)
            except TransientLakeError:
                raise
            except LakeError as error:
                states[day] = UNREADABLE
                problems.setdefault(day, []).append(f"{name}: {error}")
        for mart in (mart for mart, dataset in MARTS.items() if dataset.name == name):
            files = {file.partition(PARTITION_COLUMNS[mart]): file for file in lake.files(mart_folder(mart))}
            refused = {day for table, day in quarantined if table == mart}
            tables[f"marts.{mart}"] = {
                day: _mart_state(day, files, raw, day in refused) for day in {*known, *files, *refused} if day
            }
    lower, upper = first.isoformat() if first else "", last.isoformat() if last else "9999"
    return [
        DayStatus(
            day=day,
            objects=days.get(day, 0),
            tables={table: states.get(day, MISSING) for table, states in tables.items()},
            reason="; ".join([*problems.get(day, ()), *_reasons(lake, quarantine, day)]) or None,
        )
        for day in sorted({day for states in tables.values() for day in states})
        if lower <= day <= upper
    ]


def _raw_state(
    lake: Lake, dataset: Dataset, day: str, listed: list[SourceObject], is_published: bool, is_refused: bool
) -> str:
    if listed and not is_judged(lake, dataset, day, listed):
        return OUT_OF_DATE if is_published else MISSING
    if is_refused and dataset.by_site and is_published:
        return PARTLY_REFUSED
    if is_refused:
        return REFUSED_BUT_KEPT if is_published else REFUSED
    return PUBLISHED if is_published else MISSING


def _mart_state(day: str, marts: Mapping[str | None, LakeFile], raw: list[LakeFile], is_refused: bool) -> str:
    mart = marts.get(day)
    if is_refused:
        return REFUSED_BUT_KEPT if mart else REFUSED
    if mart is None:
        return MISSING
    newer = any(file.partition("event_date") == day and file.modified > mart.modified for file in raw)
    return OUT_OF_DATE if newer else PUBLISHED


def _reasons(lake: Lake, quarantine: Iterable[LakeFile], day: str) -> list[str]:
    reasons: list[str] = []
    for file in verdict_files(quarantine):
        if file.partition("day") == day:
            verdict = read_verdict(lake, file)
            table = f"{verdict['table']} {verdict['site']}" if "site" in verdict else verdict["table"]
            reasons += [f"{table}: {reason['check']}: {reason['message']}" for reason in verdict["reasons"]]
    return reasons


def published_days(lake: Lake, mart: str, day_column: str) -> set[str]:
    """The days that a mart has a partition of."""
    return {day for file in lake.files(mart_folder(mart)) if (day := file.partition(day_column))}


def target_states(lake: Lake, target: Target[Any], opened: Any, days: Sequence[str]) -> dict[str, str]:
    """Day → whether the target holds what the mart holds, by number and sums of measures.

    Args:
        days: those that the mart has a partition of.

    Raises:
        LakeError: some file of the mart cannot be read.
        PublishError: the target cannot be asked.
    """
    if not days or target.comparison is None:
        return {}
    mart = _totals(lake, target, target.comparison.rows, days)
    asked = dt.date.fromisoformat(min(days)), dt.date.fromisoformat(max(days))
    published = {day: _rounded(figures) for day, figures in target.comparison.published(opened, *asked).items()}
    none = (0.0,) * (1 + len(target.measures))
    is_same = {day: published.get(day, none) == mart[day] for day in days}
    return {day: PUBLISHED if is_same[day] else OUT_OF_DATE if day in published else MISSING for day in days}


def _totals(lake: Lake, target: Target[Any], rows: str, days: Iterable[str]) -> dict[str, tuple[float, ...]]:
    """Day → number of the mart's rows that are published, and the sums of their measures."""
    sums = "".join(f", coalesce(sum({measure}), 0)" for measure in target.measures)
    found = {}
    with lake.connect() as connection:
        for day in days:
            connection.register("day_of_mart", lake.rows(connection, target.mart_key(day)))
            query = f"select count(*){sums} from day_of_mart where {rows}"  # noqa: S608 - ours
            found[day] = _rounded(connection.execute(query).fetchall()[0])
    return found


def _rounded(figures: Iterable[Any]) -> tuple[float, ...]:
    """A mart has exact decimals, a target maybe the doubles nearest to them."""
    return tuple(round(float(figure), 6) for figure in figures)
