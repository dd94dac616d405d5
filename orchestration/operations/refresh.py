"""What is new of a day that is not over. Who refreshes it is a job; when, a schedule or a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.lake.files import Lake
from ingest.lake.layout import VERDICT_FILE, ledger_key, mart_folder, quarantine_prefix, raw_folder
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, Partition
from ingest.partition.ledger import is_judged, version_of, versions_taken
from ingest.source import Source, SourceObject

MART, PARTITION_COLUMN = "daily_aggregates", "report_date"
YESTERDAY_UNTIL = 2  # o'clock UTC: its last hours' objects still come


@dataclass(frozen=True)
class NewObjects:
    """Objects of a day, of one site where there are sites, that neither its ledger nor a refusal has judged."""

    day: str
    dataset: str
    site: str | None
    new: int
    changed: int  # or gone


def days_to_look_at(now: dt.datetime) -> list[str]:
    """Today, and in its first hours yesterday too."""
    today = now.astimezone(dt.UTC).date()
    days = [today - dt.timedelta(days=1), today] if now.astimezone(dt.UTC).hour < YESTERDAY_UNTIL else [today]
    return [day.isoformat() for day in days]


def news(lake: Lake, sources: Mapping[str, Source], days: Sequence[str]) -> list[NewObjects]:
    """What has come since these days were last read, by day, dataset and site."""
    found: list[NewObjects] = []
    for name, source in sources.items():
        dataset = DATASETS[name]
        partitions: dict[tuple[str, str | None], list[SourceObject]] = {}
        for item in source.objects(days):
            partitions.setdefault((item.day, item.site if dataset.by_site else None), []).append(item)
        for (day, site), objects in partitions.items():
            if not is_judged(lake, dataset, day, objects):
                found.append(_news(lake, Partition(dataset, day, site), objects))
    return sorted(found, key=lambda each: (each.day, each.dataset, each.site or ""))


def _news(lake: Lake, partition: Partition, objects: Sequence[SourceObject]) -> NewObjects:
    listed = set(map(version_of, objects))
    taken = versions_taken(lake, ledger_key(partition.dataset.name, partition.day, partition.site)) or set()
    names = {key for key, _, _ in taken}
    new = {version for version in listed - taken if version[0] not in names}
    return NewObjects(partition.day, partition.dataset.name, partition.site, len(new), len(taken - listed))


def days_behind(lake: Lake, days: Sequence[str]) -> list[str]:
    """Days whose raw rows are newer than the mart made of them, as where a run died between: they need no news."""
    behind = []
    for day in days:
        raw = lake.files(raw_folder(ACCESS_LOGS.name, day))
        marts = lake.files(mart_folder(MART, PARTITION_COLUMN, day))
        is_newer = not marts or any(file.modified > marts[0].modified for file in raw)
        is_own_there = any(file.partition("source_date") == day for file in raw)
        if is_own_there and is_newer and not lake.exists(f"{quarantine_prefix(MART, day)}/{VERDICT_FILE}"):
            behind.append(day)
    return behind
