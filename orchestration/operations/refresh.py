"""New objects of a day that is not over. The job `refresh` takes them in; a schedule or a person starts it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.lake.files import Lake
from ingest.lake.layout import Partition, raw_folder
from ingest.partition.datasets import ACCESS_LOGS
from ingest.partition.ledger import objects_by_day, unjudged, version_of, versions_taken
from ingest.source import Source, SourceObject
from orchestration.marts.known import DAILY_AGGREGATES

YESTERDAY_UNTIL = 2  # hour, UTC: objects of yesterday's last hours still arrive


@dataclass(frozen=True)
class NewObjects:
    """New and changed objects of a partition, which are in neither its ledger nor a refusal."""

    partition: Partition
    new: int
    changed: int  # changed or gone


def days_to_look_at(now: dt.datetime) -> list[dt.date]:
    """Today and, in the first hours of the day, yesterday."""
    today = now.astimezone(dt.UTC).date()
    return [today - dt.timedelta(days=1), today] if now.astimezone(dt.UTC).hour < YESTERDAY_UNTIL else [today]


def news(lake: Lake, sources: Mapping[str, Source], days: Sequence[dt.date]) -> list[NewObjects]:
    """The objects that arrived since these days were last read, by day, dataset and site."""
    found: list[NewObjects] = []
    for name, source in sources.items():
        for day, objects in objects_by_day(source.objects(days)).items():
            new = unjudged(lake, Partition(name, day), objects)
            found += [_news(lake, partition, listed) for partition, listed in new.items()]
    return sorted(found, key=lambda each: (each.partition.day, each.partition.table, each.partition.site or ""))


def _news(lake: Lake, partition: Partition, objects: Sequence[SourceObject]) -> NewObjects:
    listed = set(map(version_of, objects))
    taken = versions_taken(lake, partition) or set()
    names = {key for key, _, _ in taken}
    new = {version for version in listed - taken if version[0] not in names}
    return NewObjects(partition, len(new), len(taken - listed))


def days_behind(lake: Lake, days: Sequence[dt.date]) -> list[dt.date]:
    """Days whose raw rows are newer than their daily_aggregates, such as after a run that died in between."""
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
