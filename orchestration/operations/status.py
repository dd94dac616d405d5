"""The state of the lake: for each day and table published, refused, missing or out of date."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.day import DATASET
from ingest.lake import Lake, LakeFile, ledger_key, quarantine_prefix
from ingest.source import Source, SourceObject

PUBLISHED, REFUSED, MISSING, OUT_OF_DATE = "published", "refused", "missing", "out of date"
REFUSED_BUT_KEPT = "refused, last good kept"
RAW = f"raw.{DATASET}"
MART = "marts.daily_aggregates"

Version = tuple[str, str, int]  # object, etag, size


@dataclass(frozen=True)
class DayStatus:
    day: str
    objects: int
    raw: str
    mart: str
    reason: str | None


def versions_listed(listed: Iterable[SourceObject]) -> dict[str, set[Version]]:
    """Day → the versions of its objects, as a listing names them."""
    by_day: dict[str, set[Version]] = {}
    for item in listed:
        by_day.setdefault(item.day, set()).add((item.key, item.etag, item.size))
    return by_day


def versions_taken(lake: Lake, key: str) -> set[Version] | None:
    """The versions of the objects in a ledger, None where there is no such ledger."""
    if not lake.exists(key):
        return None
    table = lake.read_table(key, ["source_object", "etag", "size"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def versions_refused(lake: Lake, day: str) -> set[Version] | None:
    return versions_taken(lake, f"{quarantine_prefix(DATASET, day)}/ledger.parquet")


def status(lake: Lake, source: Source, first: dt.date | None, last: dt.date | None) -> list[DayStatus]:
    """The state of every day between first and last that the source or the lake knows; of all without them."""
    listed = versions_listed(source.objects())
    raw = lake.files(f"raw/{DATASET}")
    marts = {file.partition("report_date"): file for file in lake.files("marts/daily_aggregates")}
    quarantined = {(file.key.split("/")[1], file.partition("day")) for file in lake.files("quarantine")}
    own = {
        file.partition("source_date") for file in raw if file.partition("event_date") == file.partition("source_date")
    }
    days = {day for day in {*listed, *own, *marts, *(day for _, day in quarantined)} if day}
    lower, upper = first.isoformat() if first else "", last.isoformat() if last else "9999"
    return [
        DayStatus(
            day=day,
            objects=len(listed.get(day, ())),
            raw=_raw_state(lake, day, listed.get(day, set()), day in own, (DATASET, day) in quarantined),
            mart=_mart_state(day, marts, raw, ("daily_aggregates", day) in quarantined),
            reason=_reason(lake, day, quarantined),
        )
        for day in sorted(days)
        if lower <= day <= upper
    ]


def _raw_state(lake: Lake, day: str, listed: set[Version], is_published: bool, is_refused: bool) -> str:
    if is_refused and versions_refused(lake, day) == listed:
        return REFUSED_BUT_KEPT if is_published else REFUSED
    if not is_published:
        return MISSING
    taken = versions_taken(lake, ledger_key(DATASET, day))
    return PUBLISHED if taken == listed or not listed else OUT_OF_DATE


def _mart_state(day: str, marts: Mapping[str | None, LakeFile], raw: list[LakeFile], is_refused: bool) -> str:
    mart = marts.get(day)
    if is_refused:
        return REFUSED_BUT_KEPT if mart else REFUSED
    if mart is None:
        return MISSING
    newer = any(file.partition("event_date") == day and file.modified > mart.modified for file in raw)
    return OUT_OF_DATE if newer else PUBLISHED


def _reason(lake: Lake, day: str, quarantined: set[tuple[str, str | None]]) -> str | None:
    reasons = []
    for table, refused_day in sorted(quarantined, key=str):
        key = f"{quarantine_prefix(table, day)}/verdict.json"
        if refused_day == day and lake.exists(key):
            verdict = json.loads(lake.read_text(key))
            reasons += [f"{table}: {reason['check']}: {reason['message']}" for reason in verdict["reasons"]]
    return "; ".join(reasons) or None


def entry_states(lake: Lake, database: Any, days: Sequence[str]) -> dict[str, str]:
    """Day → whether MongoDB holds what the mart holds, by rows, impressions and clicks of rows with an order."""
    from ingest.views import create_views
    from orchestration.publishing.performance_entries import read_entries

    if not days:
        return {}
    with lake.connect() as connection:
        create_views(lake, connection)
        found = connection.execute(
            "select cast(report_date as varchar), count(*), sum(impressions), sum(clicks) from marts.daily_aggregates "
            "where order_id is not null group by report_date"
        ).fetchall()
    mart = {day: (rows, int(impressions), int(clicks)) for day, rows, impressions, clicks in found}
    entries: dict[str, list[tuple[int, int, int]]] = {}
    for entry in read_entries(database, dt.date.fromisoformat(min(days)), dt.date.fromisoformat(max(days))):
        metrics = entry["metrics"]
        day = entry["dateStart"].date().isoformat()
        entries.setdefault(day, []).append((1, metrics["impressions"], metrics["clicks"]))
    states = {}
    for day in days:
        stored = tuple(map(sum, zip(*entries.get(day, []), strict=True))) or (0, 0, 0)
        expected = mart.get(day, (0, 0, 0))
        states[day] = PUBLISHED if stored == expected else OUT_OF_DATE if day in entries else MISSING
    return states
