"""Late objects and quiet days: which days have news, and whether their source has settled. `sensors.py` requests the
runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.absence import is_quiet
from ingest.partition.ledger import (
    Version,
    fingerprint,
    is_judged,
    is_kept_as_it_is,
    objects_by_day,
    version_of,
    versions_refused,
    versions_taken_of_day,
)
from ingest.source import Source, SourceObject

LONGEST_WAIT = 4  # times the settle time: a source that never rests is built nevertheless


@dataclass(frozen=True)
class News:
    """Objects of a day that are in neither the ledger nor a refusal, or that there are none.

    Args:
        fingerprint: a hash of all objects of the day.
        first, last: when the earliest and the latest new object was stored; None if there is
            none, such as where objects have only gone.
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
    """Day → its `News`, for days with objects that are new, changed or gone, and for quiet days that are not
    published."""
    versions: dict[dt.date, set[Version]] = {}
    unknown: dict[dt.date, list[dt.datetime]] = {}
    for name, source in sources.items():
        listed = objects_by_day(source.objects(days))
        for day in days:
            objects, partition = listed.get(day, []), Partition(name, day)
            versions.setdefault(day, set()).update(map(version_of, objects))
            try:
                is_news, is_new_quiet = _is_news(lake, source, partition, objects)
                taken = versions_taken_of_day(lake, partition) if is_news else set()
            except TransientLakeError:
                raise
            except LakeError:  # with a broken ledger the day is read again, and its ledger is rewritten
                is_news, is_new_quiet, taken = True, False, set()
            if is_new_quiet:  # a run over the other dataset's same objects is no attempt at this one
                versions[day].add((f"quiet {name}", "", 0))
            if is_news:
                new = [item.modified for item in objects if version_of(item) not in taken]
                unknown.setdefault(day, []).extend(new)
    return {
        day: News(fingerprint(versions[day])[:16], min(times, default=None), max(times, default=None))
        for day, times in sorted(unknown.items())
    }


def _is_news(lake: Lake, source: Source, day: Partition, objects: Sequence[SourceObject]) -> tuple[bool, bool]:
    """(whether a run would find something else than the last one, whether that is a quiet day)."""
    if is_kept_as_it_is(lake, source, day):
        return False, False
    if objects or lake.files(day.ledger_folder):
        return not is_judged(lake, day, objects), False
    is_new = versions_refused(lake, day) is None and is_quiet(source, day)
    return is_new, is_new
