"""Backfills: many days in windows, each a run of its own, and which windows have ended.

Dagster's runs are the only state of a backfill: each run carries its tags, and another tag once it has ended. The
command is in `orchestration/cli/backfill.py`; backfills of the UI or the API are Dagster's own.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from orchestration.partitions import consecutive, days_of_tags

BACKFILL_TAG = "clicklake/backfill"  # which backfill a run belongs to
ORDER_TAG = "clicklake/backfill_order"  # the request: the same request again continues the backfill
ENDED_TAG = "clicklake/backfill_window_ended"
DONE_TAG = "clicklake/backfill_done"  # all its windows have ended, and days with late rows are restated
INGEST = "ingest"


@dataclass(frozen=True)
class Backfill:
    """A backfill of days. All windows are ingested before marts are built: late rows of a day are then there when its
    marts are built, and no day is built twice.

    Args:
        id: names it in the UI's list of runs.
        order: the request.
        days: may have gaps.
        window: the largest number of days in one run.
        marts_job: the job that follows ingest.
        ended: (job, first day) of each window that has ended.
        ended_by: ids of the runs of these windows, the oldest first.
    """

    id: str
    order: str
    days: Sequence[dt.date]
    window: int
    marts_job: str
    ended: frozenset[tuple[str, dt.date]] = field(default_factory=frozenset)
    ended_by: Sequence[str] = ()

    @property
    def tags(self) -> dict[str, str]:
        return {BACKFILL_TAG: self.id, ORDER_TAG: self.order}

    @property
    def jobs(self) -> tuple[str, str]:
        """The jobs in their order."""
        return INGEST, self.marts_job

    @property
    def windows(self) -> list[list[dt.date]]:
        return self.in_windows(self.days)

    def in_windows(self, days: Sequence[dt.date]) -> list[list[dt.date]]:
        return [run[n : n + self.window] for run in consecutive(days) for n in range(0, len(run), self.window)]

    def left(self, job: str) -> list[list[dt.date]]:
        return [days for days in self.windows if (job, days[0]) not in self.ended]


def begin(
    instance: dg.DagsterInstance, order: str, days: Sequence[dt.date], window: int, marts_job: str, anew: bool
) -> Backfill:
    """A new backfill, or, unless `anew`, the last one of the same order if it is not done."""
    fresh = Backfill(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M:%S.%f}", order, days, window, marts_job)
    if anew:
        return fresh
    for last in instance.get_runs(dg.RunsFilter(tags={ORDER_TAG: order}), limit=1):
        own = {BACKFILL_TAG: last.tags[BACKFILL_TAG]}
        if instance.get_runs_count(dg.RunsFilter(tags=own | {DONE_TAG: "true"})):
            return fresh
        return _gone_on_with(fresh, own[BACKFILL_TAG], instance.get_runs(dg.RunsFilter(tags=own | {ENDED_TAG: "true"})))
    return fresh


def done(instance: dg.DagsterInstance, backfill: Backfill) -> None:
    """Marks the backfill as done: the same order starts a new backfill from now on."""
    for last in instance.get_runs(dg.RunsFilter(tags={BACKFILL_TAG: backfill.id}), limit=1):
        instance.add_run_tags(last.run_id, {DONE_TAG: "true"})


def _gone_on_with(fresh: Backfill, identity: str, ended: Sequence[dg.DagsterRun]) -> Backfill:
    """Marts count as built only if all of raw was ingested before: a later raw window may hold rows of any day."""
    oldest_first = list(reversed(ended))
    ingested = [run for run in oldest_first if run.job_name == INGEST]
    raw = _with(fresh, identity, ingested)
    if raw.left(INGEST):
        return raw
    last = oldest_first.index(ingested[-1])
    return _with(fresh, identity, ingested + [run for run in oldest_first[last:] if run.job_name != INGEST])


def _with(fresh: Backfill, identity: str, runs: Sequence[dg.DagsterRun]) -> Backfill:
    ended = frozenset((run.job_name, days_of_tags(run.tags)[0]) for run in runs)
    return replace(fresh, id=identity, ended=ended, ended_by=[run.run_id for run in runs])
