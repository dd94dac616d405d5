"""`run_failed`: failed runs whose days no later run has done.

The rule reads the last 500 runs that ended within 7 days. Each failed run counts for the days and steps that it failed
on. A later run that did the same steps over a day resolves that day. Several failures of the same step and days are one
alert. A run that fails because a check refused a day is no `run_failed`: the alert `refused` reports it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import cast

import dagster as dg

from ingest.days import day_text, parse_day
from orchestration.alerts.alert import ERROR, Alert, plain
from orchestration.alerts.rule import LOOKED_AT, Kind, Look, Rule
from orchestration.partitions import days_of_tags
from orchestration.publishing.targets import TARGETS

RUN_FAILED = "run_failed"
Day = date | None  # None for a run that names no day
RUNS_AT_MOST = 500
# Days that a check refused have the alert `refused`, except days that a target refused. Days that could not be built
# because their input was refused or missing follow from such a day.
_REFUSED = re.compile(r" (?:refused|skipped|waits) \((\w*)|has no published partition")
_OF_TARGETS = {check.name for target in TARGETS for check in target.checks}
LONGEST_REASON = 300
_INTERRUPTED = "it was interrupted, by Ctrl-C or by whoever ended its process; what it had published is whole"
_STEP_ENDS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}


@dataclass(frozen=True)
class _Outcome:
    """How a run ended.

    days: the days of the run; only None if it named no day.
    bad: day → reason, for days that it did not do; refused: bad days that a check stopped.
    steps: the steps that ran to their end; failed: steps that did not, or that ended with bad days.
    """

    run: dg.DagsterRun
    days: frozenset[Day]
    bad: dict[Day, str]
    refused: frozenset[Day]
    steps: frozenset[str]
    failed: frozenset[str]

    def mends(self, failure: _Outcome, day: Day) -> bool:
        if day not in self.days or day in self.bad:
            return False
        return failure.failed <= self.steps if failure.failed else failure.run.job_name == self.run.job_name


def failed_runs(look: Look) -> list[Alert]:
    """An alert for each step and days that a run failed on and no later run did. It shows the latest failure."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    filters = dg.RunsFilter(statuses=ended, updated_after=look.now - LOOKED_AT)
    runs = [record.dagster_run for record in look.instance.get_run_records(filters, limit=RUNS_AT_MOST)]  # newest first
    outcome_of = cache(lambda position: _outcome(look.instance, runs[position]))  # each call reads the run's events
    found: dict[str, Alert] = {}
    for position, run in enumerate(runs):
        if run.status != dg.DagsterRunStatus.FAILURE:
            continue
        failure = outcome_of(position)
        later = [each for each in range(position) if failure.days & _days(runs[each])]
        open_days = {
            day: reason
            for day, reason in failure.bad.items()
            if day not in failure.refused and not any(outcome_of(each).mends(failure, day) for each in later)
        }
        if open_days:
            alert = _failed(failure, open_days)
            found.setdefault(alert.key, alert)
    return list(found.values())


def _days(run: dg.DagsterRun) -> frozenset[Day]:
    return frozenset(days_of_tags(run.tags)) or frozenset([None])


def _outcome(instance: dg.DagsterInstance, run: dg.DagsterRun) -> _Outcome:
    days = _days(run)
    steps: set[str] = set()
    bad: dict[Day, str] = {}
    refused: set[Day] = set()
    failed: set[str] = set()
    for entry in instance.all_logs(run.run_id, of_type=_STEP_ENDS):
        event = entry.get_dagster_event()
        step = str(event.step_key)
        told, reason = _told_days(event) if event.is_step_failure else ({}, "")
        if event.is_step_failure:
            failed.add(step)
        if told is None:
            bad |= dict.fromkeys(days, reason)
        else:  # the step did all other days
            bad |= told
            refused |= {day for day, why in told.items() if _is_refused(why)}
            steps.add(step)
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return _Outcome(run, days, {}, frozenset(), frozenset(steps), frozenset())
    if not failed:
        bad = dict.fromkeys(days, "the run ended without a word of its steps: its process was killed, or never began")
    return _Outcome(run, days, bad, frozenset(refused), frozenset(steps), frozenset(failed))


def _is_refused(why: str) -> bool:
    return any(found[1] not in _OF_TARGETS for found in _REFUSED.finditer(why))


def _told_days(event: dg.DagsterEvent) -> tuple[dict[Day, str] | None, str]:
    """Day → reason if the step names its bad days, else None and the reason for the whole step."""
    data = event.step_failure_data
    told = data.user_failure_data.metadata.get("days") if data.user_failure_data else None
    if told is not None:
        return {parse_day(day): str(reason) for day, reason in cast(dict[str, str], told.value).items()}, ""
    if data.user_failure_data and data.user_failure_data.description:
        return None, data.user_failure_data.description
    error = data.error.cause or data.error if data.error else None
    if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return None, _INTERRUPTED
    return None, error.message if error else "failed"


def _failed(outcome: _Outcome, bad: dict[Day, str]) -> Alert:
    days = [day_text(day) for day in sorted(day for day in bad if day)]
    shown = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}" if days else ""
    what = ", ".join(sorted(outcome.failed)) or outcome.run.job_name
    again = f"clicklake run --from {days[0]} --to {days[-1]}" if days else "the run's page in the UI"
    reasons = "; ".join(dict.fromkeys(bad.values()))
    return Alert(
        kind=RUN_FAILED,
        subject=what,
        day=shown or None,
        title=" ".join(filter(None, (what, shown, "failed"))),
        text=f"Run {outcome.run.run_id} of {outcome.run.job_name}: {plain(reasons, LONGEST_REASON)}",
        command=again,
    )


RULE = Rule(
    "runs",
    (
        Kind(
            RUN_FAILED,
            ERROR,
            "a run failed on some days, for another reason than a refusal",
            "a later run did the same steps for these days, or after 7 days",
        ),
    ),
    failed_runs,
)
