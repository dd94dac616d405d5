"""Alerts that Dagster's records tell of: runs that failed, publication codes that nobody knows.

docs/alerts.md states each rule.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import cast

import dagster as dg

from orchestration.alerts.alert import WARNING, Alert, name, plain
from orchestration.partitions import days_of_tags

RUN_FAILED, PUBLICATIONS_UNMAPPED = "run_failed", "publications_unmapped"

LOOKED_AT = dt.timedelta(days=7)  # what nobody has mended for so long, nobody waits to hear of again
RUNS_AT_MOST = 500
VERDICTS_AT_MOST = 500
CODES_AT_MOST = 25  # whoever calls the pixel chooses the code
# Days that a check refused have an alert of their own. What could not be built, since what it is made of was refused or
# not delivered, follows from that.
_REFUSED = re.compile(r" (refused|skipped|absent) \((?!reconciled\b)|has no published partition")
LONGEST_REASON = 300
_INTERRUPTED = "it was interrupted, by Ctrl-C or by whoever ended its process; what it had published is whole"
_STEP_ENDS = {dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE}


@dataclass(frozen=True)
class _Outcome:
    """How a run ended.

    days: those it was over; one of no name where it named none.
    bad: day → why, of those that it did not do; refused: those of them that a check stopped.
    steps: the steps that ran to their end; failed: those that did not, or ended with bad days.
    """

    run: dg.DagsterRun
    days: frozenset[str]
    bad: dict[str, str]
    refused: frozenset[str]
    steps: frozenset[str]
    failed: frozenset[str]

    def mends(self, failure: _Outcome, day: str) -> bool:
        if day not in self.days or day in self.bad:
            return False
        return failure.failed <= self.steps if failure.failed else failure.run.job_name == self.run.job_name


def failed_runs(instance: dg.DagsterInstance, now: dt.datetime) -> list[Alert]:
    """Each step and days that a run failed on, and no later run did. The latest failure stands for those before."""
    ended = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]
    filters = dg.RunsFilter(statuses=ended, updated_after=now - LOOKED_AT)
    runs = [record.dagster_run for record in instance.get_run_records(filters, limit=RUNS_AT_MOST)]  # newest first
    outcome_of = cache(lambda position: _outcome(instance, runs[position]))  # each is a read of the run's events
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


def _days(run: dg.DagsterRun) -> frozenset[str]:
    return frozenset(days_of_tags(run.tags)) or frozenset([""])


def _outcome(instance: dg.DagsterInstance, run: dg.DagsterRun) -> _Outcome:
    days = _days(run)
    steps: set[str] = set()
    bad: dict[str, str] = {}
    refused: set[str] = set()
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
            refused |= {day for day, why in told.items() if _REFUSED.search(why)}
            steps.add(step)
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return _Outcome(run, days, {}, frozenset(), frozenset(steps), frozenset())
    if not failed:
        bad = dict.fromkeys(days, "the run ended without a word of its steps: its process was killed, or never began")
    return _Outcome(run, days, bad, frozenset(refused), frozenset(steps), frozenset(failed))


def _told_days(event: dg.DagsterEvent) -> tuple[dict[str, str] | None, str]:
    """Day → why, where the step says so itself, and what it says on the whole."""
    data = event.step_failure_data
    told = data.user_failure_data.metadata.get("days") if data.user_failure_data else None
    if told is not None:
        return {str(day): str(reason) for day, reason in cast(dict[str, str], told.value).items()}, ""
    if data.user_failure_data and data.user_failure_data.description:
        return None, data.user_failure_data.description
    error = data.error.cause or data.error if data.error else None
    if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return None, _INTERRUPTED
    return None, error.message if error else "failed"


def _failed(outcome: _Outcome, bad: dict[str, str]) -> Alert:
    days = sorted(bad)
    shown = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}"
    what = ", ".join(sorted(outcome.failed)) or outcome.run.job_name
    again = f"clicklake run --from {days[0]} --to {days[-1]}" if days[0] else "the run's page in the UI"
    reasons = "; ".join(dict.fromkeys(bad.values()))
    return Alert(
        kind=RUN_FAILED,
        subject=what,
        day=shown or None,
        title=" ".join(filter(None, (what, shown, "failed"))),
        text=f"Run {outcome.run.run_id} of {outcome.run.job_name}: {plain(reasons, LONGEST_REASON)}",
        command=again,
    )


def unmapped_publications(
    instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey], now: dt.datetime
) -> list[Alert]:
    """Codes that the last verdict on some day found in no seed; those of the last week's verdicts."""
    codes: dict[str, set[str]] = {}
    for check in checks:
        for day, unmapped in _codes_by_day(instance, check, now - LOOKED_AT).items():
            for code in unmapped:
                codes.setdefault(name(code), set()).add(day)
    if len(codes) > CODES_AT_MOST:
        shown = ", ".join(sorted(codes)[:CODES_AT_MOST])
        return [_unmapped("many", f"{len(codes)} publication codes are not mapped", f"Among them {shown}.")]
    return [
        _unmapped(code, f"Publication code {code} is not mapped", f"Seen on {', '.join(sorted(days))}.")
        for code, days in sorted(codes.items())
    ]


def _codes_by_day(instance: dg.DagsterInstance, check: dg.AssetCheckKey, since: dt.datetime) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=VERDICTS_AT_MOST)
    for record in history:  # newest first
        evaluation = record.evaluation
        if not isinstance(evaluation, dg.AssetCheckEvaluation) or record.create_timestamp < since.timestamp():
            continue
        codes = evaluation.metadata.get("codes")
        found.setdefault(str(record.partition), cast(list[str], codes.value) if codes else [])
    return found


def _unmapped(subject: str, title: str, seen: str) -> Alert:
    return Alert(
        kind=PUBLICATIONS_UNMAPPED,
        subject=subject,
        title=title,
        text=f"{seen} Entries are published under the code. Add it to the seed publications, and run these days again.",
        severity=WARNING,
        command='clicklake query "select publication_code, sum(impressions) from marts.daily_aggregates '
        'where publication_id is null group by all"',
    )
