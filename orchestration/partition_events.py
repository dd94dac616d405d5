"""Dagster says what the lake says: events for each day of a run, and the run's own end.

In a range run Dagster would report one result for all its days, green or red. Here every day gets its
own materialization and its own check results; a step goes on with the good days, and the run fails
at its end, naming the bad ones.
"""

import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import duckdb

from ingest.errors import ClicklakeError, TransientError
from ingest.lake.files import Lake
from ingest.words import counted
from orchestration.dagster_internals.checks import NO_EVENTS, Target, last_materialization
from orchestration.observability.logs import FIGURES
from orchestration.partitions import daily
from orchestration.quality import Judgement, record, what_to_do

# A step's pauses grow: 5, 15 and 45 s outlast the election of a primary, and most of what S3 has to say.
RETRIES = 3
SECONDS_BETWEEN_RETRIES = 5
LONGER_EACH_TIME = 3


def partitioned_check(name: str, asset: dg.AssetKey, description: str | None, blocking: bool) -> dg.AssetCheckSpec:
    """A check with a result for each day. That Dagster calls this a preview need not be said each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=daily)


def days_of(context: dg.AssetExecutionContext) -> list[str]:
    """The days of a run: one, or a range.

    Raises:
        Failure: the run names none, as one that "Execute all" on an asset's checks in the UI starts.
    """
    if not (context.has_partition_key or context.has_partition_key_range):
        raise dg.Failure("This run names no day. A day's checks run when the day is built: materialize it instead")
    _steps[_step_of(context)] = _Done()
    return list(context.partition_keys)


@dataclass
class _Done:
    """What a step has put in place so far.

    last: (asset, day) → the last materialization, of days that it has judged; found once for all checks of the day.
    """

    started: float = field(default_factory=time.monotonic)
    partitions: int = 0
    rows: int = 0
    last: dict[tuple[dg.AssetKey, str], Target | None] = field(default_factory=dict)


_steps: dict[tuple[str, str], _Done] = {}


def _step_of(context: dg.AssetExecutionContext) -> tuple[str, str]:
    return context.run_id, context.op_execution_context.op.name


def _log_end(context: dg.AssetExecutionContext, bad: Mapping[str, str]) -> None:
    """One line at a step's end: what it put in place, and how long it took."""
    done = _steps.pop(_step_of(context), None)
    if done is not None:
        seconds = round(time.monotonic() - done.started, 3)
        figures = {"partitions_done": done.partitions, "rows": done.rows, "seconds": seconds, "days_bad": len(bad)}
        done_rows = f"{counted(done.partitions, 'partition')} with {counted(done.rows, 'row')}"
        text = f"{done_rows} put in place, {counted(len(bad), 'day')} bad, {seconds:.1f} s"
        context.log.info(text, extra={FIGURES: figures})


def report_materialized(
    context: dg.AssetExecutionContext, key: dg.AssetKey, day: str, metadata: Mapping[str, Any]
) -> None:
    """This day's file was replaced."""
    context.log_event(dg.AssetMaterialization(key, partition=day, metadata=dict(metadata)))
    if done := _steps.get(_step_of(context)):
        done.partitions += 1
        done.rows += int(metadata.get("dagster/partition_row_count", 0))
        done.last.pop((key, day), None)


def report_check(
    context: dg.AssetExecutionContext,
    check: dg.AssetCheckKey,
    day: str,
    passed: bool,
    blocks: bool,
    message: str,
    figures: Mapping[str, Any] | None = None,
    results: Sequence[Judgement] = (),
) -> None:
    """A check's verdict on this day. Where it was published, `report_materialized` comes first.

    Args:
        results: as `data_quality` holds them, where there is more to know than the verdict says, such as each site's.
    """
    for result in results or (Judgement(passed, blocks, message, figures or {}),):
        record(context, check, day, result)
    context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=check.asset_key,
            check_name=check.name,
            passed=passed,
            severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
            blocking=blocks,
            partition=day,
            description=message,
            metadata=dict(figures or {}),
            target_materialization_data=_last_materialization(context, check.asset_key, day),
        )
    )


def _last_materialization(context: dg.AssetExecutionContext, key: dg.AssetKey, day: str) -> Target | None:
    """The one that a verdict has to name: Dagster takes a verdict on any other for an old one, and hides it."""
    known = done.last if (done := _steps.get(_step_of(context))) else {}
    if (key, day) not in known:
        known[key, day] = last_materialization(context.instance, key, day)
    return known[key, day]


def materialized_days(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey) -> set[str]:
    """The days of an asset that a run has put in place so far, those outside of its own range too."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.get_dagster_event().step_materialization_data.materialization for entry in entries]
    return {event.partition for event in events if event.asset_key == key and event.partition}


def refusals(instance: dg.DagsterInstance, run_id: str, but: Collection[dg.AssetKey] = ()) -> dict[str, str]:
    """Day → why, of every blocking check that failed in a run, `but` those of some assets."""
    found: dict[str, str] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        check = entry.get_dagster_event().event_specific_data
        if not isinstance(check, dg.AssetCheckEvaluation) or check.passed or check.asset_key in but:
            continue
        if check.blocking and check.partition:
            reason = f"{check.asset_key.to_user_string()} refused ({check.check_name}): {check.description}"
            found.setdefault(check.partition, reason)
    return found


def finish(
    context: dg.AssetExecutionContext, bad: Mapping[str, str], goes_on: bool = False
) -> Iterator[dg.Output[None]]:
    """Ends a step over several days, `bad` being those that failed and why.

    The good days go on to the next step. The run fails in its last step, and where no day is left, unless it
    `goes_on` for what does not depend on this step.
    """
    _log_end(context, bad)
    if bad and (is_last(context) or (len(bad) == len(context.partition_keys) and not goes_on)):
        raise failed(bad, what_to_do(context.resources.lakehouse.lake(), bad))
    names = {key: name for name, key in context.assets_def.keys_by_output_name.items()}
    for key in context.job_def.asset_layer.asset_graph.toposorted_asset_keys:
        if key in names and key in context.selected_asset_keys:
            yield dg.Output(None, output_name=names[key], metadata=NO_EVENTS)


def is_last(context: dg.AssetExecutionContext) -> bool:
    """Whether no later step of this run builds on what this one builds."""
    layer = context.job_def.asset_layer
    mine = set(context.assets_def.keys)
    below = {child for key in mine for child in layer.get(key).child_keys} - mine
    return not below & set(layer.executable_asset_keys)


def failed(bad: Mapping[str, str], advice: str = "") -> dg.Failure:
    """A failure that no retry can mend."""
    lines = [f"{day}: {reason}" for day, reason in sorted(bad.items())]
    return dg.Failure(
        f"{counted(len(bad), 'day')} not published. " + " | ".join([*lines, advice] if advice else lines),
        metadata={"days": dg.MetadataValue.json(dict(bad))},
        allow_retries=False,
    )


def run_lock(run_id: str) -> str:
    return f"runs/{run_id}"


@contextmanager
def at_work(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[None]:
    """While a step works, its run holds a lock: so a process that has died is known (the sensor `dead_runs`)."""
    with lake.lock(run_lock(context.run_id)):
        yield


@contextmanager
def explained() -> Iterator[None]:
    """Turns the library's errors into Dagster's: retried where that may help, failed with one sentence where not."""
    try:
        yield
    except TransientError as error:
        retries = _retries_so_far()
        if retries >= RETRIES:  # Dagster would show the request for another one, and not the reason
            raise dg.Failure(f"{error} (tried {retries + 1} times)", allow_retries=False) from error
        raise dg.RetryRequested(RETRIES, SECONDS_BETWEEN_RETRIES * LONGER_EACH_TIME**retries) from error
    except ClicklakeError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    except (MemoryError, RuntimeError, duckdb.OutOfMemoryException) as error:
        if isinstance(error, RuntimeError) and "can't start new thread" not in str(error):
            raise
        raise dg.Failure(
            "out of memory. Give the process more, or set CLICKLAKE_WORKERS lower; the last good files stand",
            allow_retries=False,
        ) from error


def _retries_so_far() -> int:
    """Of the step that is running; none outside of a run."""
    try:
        return dg.OpExecutionContext.get().retry_number
    except dg.DagsterInvariantViolationError:
        return 0
