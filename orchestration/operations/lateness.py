"""Late objects: which days have new objects, and whether their source has settled. `sensors.py` requests the runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.ledger import Version, fingerprint, is_judged, objects_by_day, version_of, versions_taken_of_day
from ingest.source import Source

LONGEST_WAIT = 4  # times the settle time: a source that never rests is built nevertheless


@dataclass(frozen=True)
class News:
    """Objects of a day that are in neither the ledger nor a refusal.

    Args:
        fingerprint: a hash of all objects of the day.
        first, last: when the earliest and the latest new object was stored; None if objects have only gone.
    """

    fingerprint: str
    first: dt.datetime | None
    last: dt.datetime | None

    def settles_at(self, settle: dt.timedelta) -> dt.datetime:
        """When the source will have been quiet for `settle`, at most `LONGEST_WAIT` times that after the first object.
        So a trickle of late files causes one run and not a hundred."""
        if self.first is None or self.last is None:
            return dt.datetime.min.replace(tzinfo=dt.UTC)
        return min(self.last + settle, self.first + LONGEST_WAIT * settle)


def days_with_news(lake: Lake, sources: Mapping[str, Source], days: Sequence[dt.date]) -> dict[dt.date, News]:
    """Day → its `News`, for days with objects that are new, changed or gone."""
    versions: dict[dt.date, set[Version]] = {}
    unknown: dict[dt.date, list[dt.datetime]] = {}
    for name, source in sources.items():
        for day, objects in objects_by_day(source.objects(days)).items():
            versions.setdefault(day, set()).update(map(version_of, objects))
            partition = Partition(name, day)
            try:
                is_news = not is_judged(lake, partition, objects)
                taken = versions_taken_of_day(lake, partition) if is_news else set()
            except TransientLakeError:
                raise
            except LakeError:  # with a broken ledger the day is read again, and its ledger is rewritten
                is_news, taken = True, set()
            if is_news:
                new = [item.modified for item in objects if version_of(item) not in taken]
                unknown.setdefault(day, []).extend(new)
    return {
        day: News(fingerprint(versions[day])[:16], min(times, default=None), max(times, default=None))
        for day, times in sorted(unknown.items())
    }
