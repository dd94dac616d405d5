"""Dagster's runs: their days, which are unfinished, and requests for new ones."""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import dagster as dg

from ingest.days import day_text
from orchestration.partitions import days_of_tags, range_tags

WAITING = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
UNFINISHED = [
    *WAITING,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
# If a whole machine dies, nothing reports that its runs have failed. No day takes this long.
SILENT_RUNS_ARE_DEAD_AFTER = dt.timedelta(hours=12)
CLOCKS_DIFFER = 5  # seconds, between the machines of two runs


def unfinished(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Runs that wait or work."""
    since = dt.datetime.now(dt.UTC) - SILENT_RUNS_ARE_DEAD_AFTER
    return list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, updated_after=since)))


def days_at_work(instance: dg.DagsterInstance) -> set[dt.date]:
    """Days over which a run waits or works; it may be about to take in their new objects."""
    return {day for run in unfinished(instance) for day in days_of_run(run)}


def is_running(instance: dg.DagsterInstance, day: dt.date) -> bool:
    return day in days_at_work(instance)


def days_of_run(run: dg.DagsterRun) -> set[dt.date]:
    return set(days_of_tags(run.tags))


Done = Callable[[dt.date, float], bool]


def done_after(instance: dg.DagsterInstance, since: float, counts: Callable[[dg.DagsterRun], bool]) -> Done:
    """A function (day, moment) → whether a run sees what there was of the day at this moment, in seconds since 1970:
    a run that began later and has not failed, or one that still waits. A run that had begun may have read before.

    Args:
        since: no moment that is asked about is earlier.
        counts: whether a run does the work at all.
    """
    began: dict[dt.date, float] = {}
    updated = dg.RunsFilter(updated_after=dt.datetime.fromtimestamp(since, dt.UTC))
    starts = [(each.dagster_run, each.start_time or 0.0) for each in instance.get_run_records(updated)]
    starts += [(run, float("inf")) for run in unfinished(instance) if run.status in WAITING]
    for run, start in starts:
        if run.status not in FAILED and counts(run):
            for day in days_of_run(run):
                began[day] = max(start, began.get(day, start))
    return lambda day, moment: began.get(day, 0.0) > moment + CLOCKS_DIFFER


def run_over(
    days: Sequence[dt.date], content: str, tags: Mapping[str, str] = MappingProxyType({}), **wanted: Any
) -> dg.RunRequest:
    """The request for one run over consecutive days.

    Args:
        content: what the run is for. Dagster runs each content once, for ever.
        wanted: other arguments of the request.
    """
    if len(days) == 1:
        return dg.RunRequest(content, partition_key=day_text(days[0]), tags=dict(tags), **wanted)
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return dg.RunRequest(f"{days[0]}..{days[-1]}:{digest}", tags={**range_tags(days), **tags}, **wanted)
