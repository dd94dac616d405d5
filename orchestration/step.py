"""One step of a run: its days, the materializations and check results that it reports, and how it ends.

For a range run Dagster would report one result for all days, success or failure. Here each day gets its own
materialization and check results. A step goes on with the good days; the run fails at its end and names the bad days.
"""

import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg

from ingest.days import day_text, parse_day
from ingest.lake.files import Lake
from ingest.partition import lake_format
from ingest.words import counted
from orchestration.dagster_internals.checks import NO_EVENTS, Target, last_materialization
from orchestration.dagster_internals.event_log import at_once
from orchestration.failures import failed
from orchestration.logs import FIGURES
from orchestration.partitions import daily
from orchestration.quality import Judgement, keep, result_row, what_to_do
from orchestration.resources import Lakehouse

CHANGE_TAG = "clicklake/changes"  # of the runs of a command that changes all of the lake: its name


class Step:
    """Collects and reports the results of one step.

    Args:
        context: Dagster's context of an asset that is partitioned by day.
        days: the days of the run: one, or a range.
    """

    def __init__(self, context: dg.AssetExecutionContext, lakehouse: Lakehouse, days: Sequence[date]) -> None:
        self.context = context
        self.lakehouse = lakehouse
        self.days = list(days)
        self._started = time.monotonic()
        self._partitions = self._rows = 0
        self._results: list[dict[str, Any]] = []
        # (asset, day) → the last materialization, for judged days; looked up once for all checks of a day.
        self._last: dict[tuple[dg.AssetKey, date], Target | None] = {}

    def tell_materialized(self, key: dg.AssetKey, day: date, metadata: Mapping[str, Any]) -> None:
        """Reports to Dagster that this day was materialized."""
        self.context.log_event(dg.AssetMaterialization(key, partition=day_text(day), metadata=dict(metadata)))
        self._partitions += 1
        self._rows += int(metadata.get("dagster/partition_row_count", 0))
        self._last.pop((key, day), None)

    def keep_result(self, check: dg.AssetCheckKey, day: date, judgement: Judgement) -> None:
        """Keeps a check result for `data_quality`; it is not reported to Dagster."""
        group = self.context.job_def.asset_layer.get(check.asset_key).group_name
        self._results.append(result_row(group, check, day, judgement))

    def tell_check(
        self,
        check: dg.AssetCheckKey,
        day: date,
        passed: bool,
        blocks: bool,
        message: str,
        figures: Mapping[str, Any] | None = None,
        results: Sequence[Judgement] = (),
    ) -> None:
        """Reports a check's verdict on this day. If the day was published, call `tell_materialized` first.

        Args:
            results: rows for `data_quality`, if they say more than the verdict, such as one for each site.
        """
        for result in results or (Judgement(passed, blocks, message, figures or {}),):
            self.keep_result(check, day, result)
        self.context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=passed,
                severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
                blocking=blocks,
                partition=day_text(day),
                description=message,
                metadata=dict(figures or {}),
                target_materialization_data=self._last_materialization(check.asset_key, day),
            )
        )

    def _last_materialization(self, key: dg.AssetKey, day: date) -> Target | None:
        if (key, day) not in self._last:
            self._last[key, day] = last_materialization(self.context.instance, key, day_text(day))
        return self._last[key, day]

    @contextmanager
    def at_work(self, lake: Lake) -> Iterator[None]:
        """Holds the run's lock while the step works, so that the sensor `dead_runs` notices a dead process.

        Raises:
            LakeError, SettingsError: this run may not write to the lake.
        """
        hash_keys = self.lakehouse.settings().hash_keys()
        lake_format.check(lake, hash_keys, self.context.run.tags.get(CHANGE_TAG))
        with lake.lock(run_lock(self.context.run_id)):
            yield

    @property
    def is_last(self) -> bool:
        """Whether no later step of this run builds on the assets of this step."""
        layer = self.context.job_def.asset_layer
        mine = set(self.context.assets_def.keys)
        below = {child for key in mine for child in layer.get(key).child_keys} - mine
        return not below & set(layer.executable_asset_keys)

    def finish(self, bad: Mapping[date, str], goes_on: bool = False) -> Iterator[dg.Output[None]]:
        """Ends the step. `bad`: day that failed → reason.

        The good days go on to the next step. The run fails in its last step, or in this step if no good day is left.
        With `goes_on` it continues without a good day, for assets that do not depend on this step.
        """
        self._log_end(bad)
        context = self.context
        if bad and (self.is_last or (not set(self.days) - set(bad) and not goes_on)):
            raise failed(bad, what_to_do(self.lakehouse.lake(), bad))
        names = {key: name for name, key in context.assets_def.keys_by_output_name.items()}
        with at_once(context.instance):  # Dagster stores some events for each output
            for key in context.job_def.asset_layer.asset_graph.toposorted_asset_keys:
                if key in names and key in context.selected_asset_keys:
                    yield dg.Output(None, output_name=names[key], metadata=NO_EVENTS)

    def _log_end(self, bad: Mapping[date, str]) -> None:
        """Logs one line: the partitions and rows put in place, and the seconds."""
        seconds = round(time.monotonic() - self._started, 3)
        figures = {"partitions_done": self._partitions, "rows": self._rows, "seconds": seconds, "days_bad": len(bad)}
        done = f"{counted(self._partitions, 'partition')} with {counted(self._rows, 'row')}"
        text = f"{done} put in place, {counted(len(bad), 'day')} bad, {seconds:.1f} s"
        self.context.log.info(text, extra={FIGURES: figures})

    def _keep_results(self) -> None:
        if self._results:
            attempt = f"-retry{self.context.retry_number}" if self.context.retry_number else ""
            name = self.context.op_def.name + attempt
            keep(self.context, self.lakehouse, (self.context.run_id, name), self._results)


@contextmanager
def begun(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[Step]:
    """A step of a run. When it ends, also by an error, its check results are written to the lake.

    Raises:
        Failure: the run names no day, such as a run started by "Execute all" on an asset's checks in the UI.
    """
    if not (context.has_partition_key or context.has_partition_key_range):
        raise dg.Failure("This run names no day. A day's checks run when the day is built: materialize it instead")
    step = Step(context, lakehouse, [parse_day(key) for key in context.partition_keys])
    try:
        yield step
    finally:
        step._keep_results()


def partitioned_check(name: str, asset: dg.AssetKey, description: str | None, blocking: bool) -> dg.AssetCheckSpec:
    """A check with a result for each day. Hides Dagster's warning that this is a preview feature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=daily)


def materialized_days(instance: dg.DagsterInstance, run_id: str, key: dg.AssetKey) -> set[date]:
    """The days of an asset that a run has materialized so far, including days outside the run's range."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.get_dagster_event().step_materialization_data.materialization for entry in entries]
    return {parse_day(event.partition) for event in events if event.asset_key == key and event.partition}


def refusals(instance: dg.DagsterInstance, run_id: str, but: Collection[dg.AssetKey] = ()) -> dict[date, str]:
    """Day → reason, for days on which a blocking check failed in a run; checks of the assets in `but` are left out."""
    found: dict[date, str] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        check = entry.get_dagster_event().event_specific_data
        if not isinstance(check, dg.AssetCheckEvaluation) or check.passed or check.asset_key in but:
            continue
        if check.blocking and check.partition:
            reason = f"{check.asset_key.to_user_string()} refused ({check.check_name}): {check.description}"
            found.setdefault(parse_day(check.partition), reason)
    return found


def run_lock(run_id: str) -> str:
    return f"runs/{run_id}"
