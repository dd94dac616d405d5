"""What is new of a day that is not over. Who refreshes it is a job; when, a schedule or a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ingest.lake.files import Lake
from ingest.lake.layout import Partition, raw_folder
from ingest.partition.datasets import ACCESS_LOGS, DATASETS
from ingest.partition.ledger import is_judged, version_of, versions_taken
from ingest.source import Source, SourceObject
from orchestration.marts.known import DAILY_AGGREGATES

YESTERDAY_UNTIL = 2  # o'clock UTC: its last hours' objects still come


@dataclass(frozen=True)
class NewObjects:
    """Objects of a partition that neither its ledger nor a refusal has judged."""

    partition: Partition
    new: int
    changed: int  # or gone


def days_to_look_at(now: dt.datetime) -> list[dt.date]:
    """Today, and in its first hours yesterday too."""
    today = now.astimezone(dt.UTC).date()
    return [today - dt.timedelta(days=1), today] if now.astimezone(dt.UTC).hour < YESTERDAY_UNTIL else [today]


def news(lake: Lake, sources: Mapping[str, Source], days: Sequence[dt.date]) -> list[NewObjects]:
    """What has come since these days were last read, by day, dataset and site."""
    found: list[NewObjects] = []
    for name, source in sources.items():
        partitions: dict[Partition, list[SourceObject]] = {}
        for item in source.objects(days):
            site = item.site if DATASETS[name].by_site else None
            partitions.setdefault(Partition(name, item.day, site), []).append(item)
        for partition, objects in partitions.items():
            if not is_judged(lake, replace(partition, site=None), objects):
                found.append(_news(lake, partition, objects))
    return sorted(found, key=lambda each: (each.partition.day, each.partition.table, each.partition.site or ""))


def _news(lake: Lake, partition: Partition, objects: Sequence[SourceObject]) -> NewObjects:
    listed = set(map(version_of, objects))
    taken = versions_taken(lake, partition) or set()
    names = {key for key, _, _ in taken}
    new = {version for version in listed - taken if version[0] not in names}
    return NewObjects(partition, len(new), len(taken - listed))


def days_behind(lake: Lake, days: Sequence[dt.date]) -> list[dt.date]:
    """Days whose raw rows are newer than the mart made of them, as where a run died between: they need no news."""
    behind = []
    for day in days:
        raw = lake.files(raw_folder(ACCESS_LOGS.name, day))
        own = Partition(ACCESS_LOGS.name, day).raw_file(day)
        marts = lake.files(DAILY_AGGREGATES.day_folder(day))
        is_newer = not marts or any(file.modified > marts[0].modified for file in raw)
        is_refused = lake.exists(Partition(DAILY_AGGREGATES.name, day).verdict_file)
        if is_newer and not is_refused and any(file.key == own for file in raw):
            behind.append(day)
    return behind
