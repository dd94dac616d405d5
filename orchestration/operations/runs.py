"""The days of Dagster's runs, and whether a run over a day is unfinished. Used before another run is requested."""

import datetime as dt

import dagster as dg

from orchestration.partitions import days_of_tags

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# If a whole machine dies, nothing reports that its runs have failed. No day takes this long.
SILENT_RUNS_ARE_DEAD_AFTER = dt.timedelta(hours=12)


def is_running(instance: dg.DagsterInstance, day: dt.date) -> bool:
    """Whether a run over this day waits or works; it may be about to take in the new objects."""
    since = dt.datetime.now(dt.UTC) - SILENT_RUNS_ARE_DEAD_AFTER
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, updated_after=since))
    return any(day in days_of_run(run) for run in unfinished)


def days_of_run(run: dg.DagsterRun) -> set[dt.date]:
    return set(days_of_tags(run.tags))
