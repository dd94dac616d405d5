"""The dbt models as Dagster assets and their tests as checks; one step builds all days of a run."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from ingest.lake.files import Lake
from ingest.lake.layout import MARTS, Partition
from ingest.partition.datasets import ACCESS_LOGS, EVENTS
from ingest.partition.day import is_published
from ingest.partition.releases import release_of
from ingest.words import counted
from orchestration import progress
from orchestration.dagster_internals.event_log import at_once
from orchestration.failures import explained
from orchestration.marts.dbt_process import load_dbt
from orchestration.marts.project import manifest
from orchestration.marts.translator import checks_of, model_key, model_name, specs_of
from orchestration.marts.windows import WindowResult, build
from orchestration.partitions import consecutive, daily, range_in_windows
from orchestration.places import DBT_DIR
from orchestration.quality import Judgement
from orchestration.raw.assets import RAW_ACCESS_LOGS, RAW_ASSETS, RAW_EVENTS
from orchestration.resources import Lakehouse
from orchestration.rules import rules_of
from orchestration.step import Step, begun, refusals

# Dataset → arguments of dbt where its source is not set. Without events, the models that need them are left out, and
# the model that is made only for them. Without logs, the marts of logs alone are left out, and those of both are made
# as if the logs were empty.
WITHOUT = {
    EVENTS.name: ["--exclude", "source:raw.events+", "ad_touches"],
    ACCESS_LOGS.name: ["--exclude", "daily_aggregates", "campaign_trends", "ad_touches"],
}


class Dbt(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Loads dbt when a run begins that will need it, while its other steps read raw."""

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        load_dbt()


def build_dbt_models() -> dg.AssetsDefinition:
    """The asset definition, from the current manifest."""
    found = manifest()
    specs, checks = specs_of(found), checks_of(found)

    @dg.multi_asset(
        name="dbt_models",
        specs=specs,
        check_specs=list(checks.values()),
        can_subset=True,
        partitions_def=daily,
        backfill_policy=range_in_windows,
    )
    def dbt_models(context: dg.AssetExecutionContext, lakehouse: Lakehouse, dbt: Dbt) -> Iterator[dg.Output[None]]:  # noqa: ARG001
        with begun(context, lakehouse) as step:
            yield from built(step)

    def built(step: Step) -> Iterator[dg.Output[None]]:
        context, lakehouse, days = step.context, step.lakehouse, step.days
        _check_order(context, specs)
        with explained():
            settings = lakehouse.settings()
            rules_of(settings)
            lake = lakehouse.lake()
            datasets = list(lakehouse.sources())
            ready = [day for day in days if any(is_published(lake, Partition(name, day)) for name in datasets)]
            bad = {
                day: f"{_named(datasets)} has no published partition of this day to build on"
                for day in days
                if day not in ready
            }
            result = WindowResult()
            excluded = [each for name, arguments in WITHOUT.items() if name not in datasets for each in arguments]
            arguments = _select(context, specs) + excluded
            with step.at_work(lake):
                for window in consecutive(ready):
                    if holder := lake.holder(MARTS):  # dbt itself waits for this lock, and holds it until it ends
                        progress.tell(context, f"Waiting for {holder}, which builds marts")
                    result.add(build(DBT_DIR, window, arguments, settings.environment()))
                with at_once(context.instance):  # within `at_work`, because thousands of events take a while
                    _report(step, lake, result, checks)
        above = refusals(context.instance, context.run_id) if step.is_last else {}
        yield from step.finish(above | bad | result.refused(days), goes_on=result.only_waits())

    return dbt_models


def _check_order(context: dg.AssetExecutionContext, specs: list[dg.AssetSpec]) -> None:
    """Makes sure that raw is built before the marts. Dagster orders steps only by the direct parents of the selected
    assets: with raw and a mart, but no model between, the mart would come first.

    Raises:
        Failure: the run selects raw and a mart without the models between.
    """
    parents = {spec.key: {dep.asset_key for dep in spec.deps} for spec in specs}
    direct = {parent for key in context.selected_asset_keys for parent in parents[key]}
    above = set(direct)
    while more := {parent for key in above for parent in parents.get(key, ())} - above:
        above |= more
    built_too = (above - direct) & set(context.job_def.asset_layer.executable_asset_keys)
    for raw in {RAW_ACCESS_LOGS, RAW_EVENTS} & built_too:
        raise dg.Failure(
            f"This run builds {raw.to_user_string()} too, but not the models between: Dagster would build "
            "the mart first. Select what lies between as well",
            allow_retries=False,
        )


def _select(context: dg.AssetExecutionContext, specs: list[dg.AssetSpec]) -> list[str]:
    """dbt's selection: empty for all models; for a subset each model with its ancestors, most of which are not kept."""
    if len(context.selected_asset_keys) == len(specs):
        return []
    return ["--select", *sorted(f"+{model_name(key)}" for key in context.selected_asset_keys)]


def _named(datasets: Sequence[str]) -> str:
    return " or ".join(RAW_ASSETS[name].to_user_string() for name in datasets)


def _report(step: Step, lake: Lake, result: WindowResult, checks: Mapping[str, dg.AssetCheckSpec]) -> None:
    restated = {key: 0.0 for key in result.published if key not in result.built}
    for (name, day), seconds in (result.built | restated).items():
        entry = result.published.get((name, day))
        if model_key(name) not in step.context.selected_asset_keys:
            continue
        if entry is None:
            step.tell_materialized(model_key(name), day, {"seconds": round(seconds, 3)})
        elif entry["status"] == "published":
            metadata = {
                "dagster/partition_row_count": entry["rows"],
                "bytes": entry["bytes"],
                "seconds": round(seconds + entry["seconds"], 3),
            }
            step.tell_materialized(model_key(name), day, metadata)
    for (name, day), entry in result.published.items():
        for reason in entry.get("reasons", ()) if entry["status"] == "refused" else ():
            if reason["check"] == name:  # refused by no test: the model could not be built
                step.keep_result(
                    dg.AssetCheckKey(model_key(name), "build"),
                    day,
                    Judgement(False, True, reason["message"]),
                )
    for (unique_id, day), test in result.tests.items():
        if unique_id in checks:
            _report_test(step, lake, checks[unique_id], day, test)


def _report_test(step: Step, lake: Lake, spec: dg.AssetCheckSpec, day: date, test: Mapping[str, Any]) -> None:
    """Reports a test's result. A blocking test that only warned was released; dbt's own result does not say so."""
    if test["status"] == "skipped":
        step.keep_result(spec.key, day, Judgement(False, spec.blocking, test["message"] or "", has_run=False))
        return
    passed, seconds = test["status"] in ("pass", "success"), round(test["seconds"], 3)
    message = (
        f"{counted(test['failures'], 'failing row')}. {test['message']}"
        if test["failures"]
        else test["message"] or "passed"
    )
    figures = {"failures": test["failures"] or 0, "status": test["status"]}
    released = None
    if spec.blocking and test["status"] == "warn":
        released = str(release_of(lake, Partition(model_name(spec.asset_key), day), spec.name) or "released")
    judgement = Judgement(
        passed,
        spec.blocking,
        message,
        figures,
        released=released,
        failures=test["failures"] or 0,
        seconds=seconds,
    )
    shown = f"{released}. {message}" if released else message
    blocks = spec.blocking and released is None
    step.tell_check(spec.key, day, passed, blocks, shown, figures | {"seconds": seconds}, [judgement])
