"""What Dagster's runs are about: which days, and whether they go on. Asked before another one is started."""

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
# Where a whole machine dies, nobody is left to say that its runs have failed. No day takes this long.
SILENT_RUNS_ARE_DEAD_AFTER = dt.timedelta(hours=12)


def is_running(instance: dg.DagsterInstance, day: dt.date) -> bool:
    """Whether a run over this day waits or works, which may be about to take the news."""
    since = dt.datetime.now(dt.UTC) - SILENT_RUNS_ARE_DEAD_AFTER
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, updated_after=since))
    return any(day in days_of_run(run) for run in unfinished)


def days_of_run(run: dg.DagsterRun) -> set[dt.date]:
    return set(days_of_tags(run.tags))
