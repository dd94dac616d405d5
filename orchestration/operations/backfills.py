"""Backfills: many days in windows, each a run of its own, and which of them have ended.

Dagster's runs are the only memory of a backfill: each carries its tags, and one that has ended says so. How it looks
to a person is in `orchestration/cli/backfill.py`; a backfill of the UI or the API is Dagster's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from orchestration.partitions import consecutive

BACKFILL_TAG = "clicklake/backfill"  # which backfill a run belongs to
ORDER_TAG = "clicklake/backfill_order"  # what was asked for: the same order again goes on with it
ENDED_TAG = "clicklake/backfill_window_ended"
INGEST = "ingest"


@dataclass(frozen=True)
class Backfill:
    """Days, first ingested window by window, then built: what late rows bring for a day is then there when its marts
    are built, and no day is built twice.

    Args:
        id: names it in the UI's list of runs.
        order: what was asked for.
        days: may have gaps.
        window: days that one run takes at most.
        marts_job: what follows ingest.
        ended: (job, first day) of the windows that have ended.
        ended_by: ids of their runs, the oldest first.
    """

    id: str
    order: str
    days: Sequence[str]
    window: int
    marts_job: str
    ended: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    ended_by: Sequence[str] = ()

    @property
    def tags(self) -> dict[str, str]:
        return {BACKFILL_TAG: self.id, ORDER_TAG: self.order}

    @property
    def windows(self) -> list[list[str]]:
        return [days[n : n + self.window] for days in consecutive(self.days) for n in range(0, len(days), self.window)]

    def left(self, job: str) -> list[list[str]]:
        return [days for days in self.windows if (job, days[0]) not in self.ended]

    @property
    def has_ended(self) -> bool:
        return not self.left(INGEST) and not self.left(self.marts_job)


def begin(
    instance: dg.DagsterInstance, order: str, days: Sequence[str], window: int, marts_job: str, anew: bool
) -> Backfill:
    """A new backfill, or, unless `anew`, the last one of the same order where it has not come to its end."""
    fresh = Backfill(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S.%f}", order, days, window, marts_job)
    if anew:
        return fresh
    for last in instance.get_runs(dg.RunsFilter(tags={ORDER_TAG: order}), limit=1):
        tags = {BACKFILL_TAG: last.tags[BACKFILL_TAG], ENDED_TAG: "true"}
        found = _gone_on_with(fresh, tags[BACKFILL_TAG], instance.get_runs(dg.RunsFilter(tags=tags)))
        return fresh if found.has_ended else found
    return fresh


def _gone_on_with(fresh: Backfill, identity: str, ended: Sequence[dg.DagsterRun]) -> Backfill:
    """Marts count as built where all of raw was there before: a window that comes later may hold rows of any day."""
    oldest_first = list(reversed(ended))
    ingested = [run for run in oldest_first if run.job_name == INGEST]
    raw = _with(fresh, identity, ingested)
    if raw.left(INGEST):
        return raw
    last = oldest_first.index(ingested[-1])
    return _with(fresh, identity, ingested + [run for run in oldest_first[last:] if run.job_name != INGEST])


def _with(fresh: Backfill, identity: str, runs: Sequence[dg.DagsterRun]) -> Backfill:
    ended = frozenset((run.job_name, run.tags["dagster/asset_partition_range_start"]) for run in runs)
    return replace(fresh, id=identity, ended=ended, ended_by=[run.run_id for run in runs])
