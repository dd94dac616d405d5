"""Every dbt model as a Dagster asset, its tests as checks; one step for a window of days."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from ingest.lake.files import Lake
from ingest.lake.layout import MARTS, Partition
from ingest.partition.datasets import ACCESS_LOGS, EVENTS, Dataset
from ingest.partition.day import is_published
from ingest.partition.releases import release_of
from ingest.words import counted
from orchestration import progress
from orchestration.dagster_internals.event_log import at_once
from orchestration.dagster_internals.light_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    build_dbt_asset_specs,
)
from orchestration.failures import explained
from orchestration.marts.project import manifest
from orchestration.marts.windows import WindowResult, build
from orchestration.partitions import consecutive, daily, range_in_windows
from orchestration.quality import Judgement
from orchestration.raw.assets import OWNERS, RAW_ACCESS_LOGS, RAW_ASSETS, RAW_EVENTS
from orchestration.resources import Lakehouse
from orchestration.step import Step, begun, partitioned_check, refusals

# For dbt, where the settings name none: what needs events, and what is made for them alone.
NO_EVENTS = ["--exclude", "source:raw.events+", "ad_touches"]


class Translator(DagsterDbtTranslator):
    """Names and groups: a model is called what dbt calls it, and its group is its folder."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(f"raw_{dbt_resource_props['identifier']}")
        return dg.AssetKey(dbt_resource_props["name"])

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = manifest.get("nodes", {}).get(unique_id)
        if properties is None:
            return spec
        in_lake = properties["config"].get("materialized") == "lake_table"
        return spec.replace_attributes(
            group_name=_subject(properties),
            kinds={"dbt", "duckdb", "parquet"} if in_lake else {"dbt", "duckdb"},
            owners=OWNERS,
            partitions_def=daily,
            skippable=True,
        )


def _subject(properties: Mapping[str, Any]) -> str:
    """Of a model the folder that it lies in: `models/marts/sessions/…` is of `sessions`, as its staging is."""
    if properties["resource_type"] != "model":
        return "seeds"
    _, layer, *below = properties["fqn"]
    return below[0] if len(below) > 1 else layer


def _specs(found: Mapping[str, Any]) -> list[dg.AssetSpec]:
    # Two sources may read the same raw files, each of its own days.
    translator = Translator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
    return list(build_dbt_asset_specs(manifest=found, dagster_dbt_translator=translator))


def _checks(found: Mapping[str, Any]) -> dict[str, dg.AssetCheckSpec]:
    """Test's unique id → check, of every data test that is attached to a model."""
    checks = {}
    for unique_id, node in found["nodes"].items():
        tested = _tested(found, node)
        if tested is not None:
            checks[unique_id] = partitioned_check(
                node["name"],
                dg.AssetKey(tested["name"]),
                node.get("description") or None,
                blocking=node["config"].get("severity", "error").lower() == "error",
            )
    return checks


def _tested(found: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The model that a test is about: the one it is attached to, else the lowest of those that it reads."""
    if node["resource_type"] != "test":
        return None
    if node.get("attached_node"):
        return found["nodes"].get(node["attached_node"])
    parents = [parent for parent in node["depends_on"]["nodes"] if parent in found["nodes"]]
    above = _above(found, parents)
    lowest = [parent for parent in parents if parent not in above]
    return found["nodes"][lowest[-1]] if lowest else None


def _above(found: Mapping[str, Any], models: Iterable[str]) -> set[str]:
    """All that some models are made from."""
    above: set[str] = set()
    news = set(models)
    while news := {parent for each in news for parent in found["parent_map"].get(each, ())} - above:
        above |= news
    return above


def build_dbt_models() -> dg.AssetsDefinition:
    """The asset definition, from the manifest as it is now."""
    found = manifest()
    specs, checks = _specs(found), _checks(found)

    @dg.multi_asset(
        name="dbt_models",
        specs=specs,
        check_specs=list(checks.values()),
        can_subset=True,
        partitions_def=daily,
        backfill_policy=range_in_windows,
    )
    def dbt_models(
        context: dg.AssetExecutionContext, lakehouse: Lakehouse, dbt: DbtCliResource
    ) -> Iterator[dg.Output[None]]:
        with begun(context, lakehouse) as step:
            yield from built(step, Path(dbt.project_dir))

    def built(step: Step, project: Path) -> Iterator[dg.Output[None]]:
        context, lakehouse, days = step.context, step.lakehouse, step.days
        _check_order(context, specs)
        with explained():
            settings, lake = lakehouse.settings(), lakehouse.lake()
            datasets = [ACCESS_LOGS, EVENTS] if settings.events else [ACCESS_LOGS]
            ready = [
                day for day in days if any(is_published(lake, Partition(dataset.name, day)) for dataset in datasets)
            ]
            bad = {
                day: f"{_named(datasets)} has no published partition of this day to build on"
                for day in days
                if day not in ready
            }
            result = WindowResult()
            arguments = _select(context, specs) + ([] if settings.events else NO_EVENTS)
            with step.at_work(lake):
                for window in consecutive(ready):
                    if holder := lake.holder(MARTS):  # dbt itself waits for it, and holds it until it ends
                        progress.tell(context, f"Waiting for {holder}, which builds marts")
                    result.add(build(project, window, arguments, settings.environment()))
                with at_once(context.instance):  # still at work: thousands of events take a while
                    _report(step, lake, result, checks)
        above = refusals(context.instance, context.run_id) if step.is_last else {}
        yield from step.finish(above | bad | result.refused())

    return dbt_models


def _check_order(context: dg.AssetExecutionContext, specs: list[dg.AssetSpec]) -> None:
    """Dagster orders steps by what their selected assets read directly: of raw and a mart alone, the mart comes first.

    Raises:
        Failure: this run is such a one, and would build on raw as it was.
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
    """dbt's selection: nothing for all; of a subset each model with what is above it, which is not kept."""
    if len(context.selected_asset_keys) == len(specs):
        return []
    return ["--select", *sorted(f"+{key.path[-1]}" for key in context.selected_asset_keys)]


def _named(datasets: Sequence[Dataset]) -> str:
    return " or ".join(RAW_ASSETS[dataset.name].to_user_string() for dataset in datasets)


def _report(step: Step, lake: Lake, result: WindowResult, checks: Mapping[str, dg.AssetCheckSpec]) -> None:
    restated = {key: 0.0 for key in result.published if key not in result.built}
    for (name, day), seconds in (result.built | restated).items():
        entry = result.published.get((name, day))
        if dg.AssetKey(name) not in step.context.selected_asset_keys:
            continue
        if entry is None:
            step.tell_materialized(dg.AssetKey(name), day, {"seconds": round(seconds, 3)})
        elif entry["status"] == "published":
            metadata = {
                "dagster/partition_row_count": entry["rows"],
                "bytes": entry["bytes"],
                "seconds": round(seconds + entry["seconds"], 3),
            }
            step.tell_materialized(dg.AssetKey(name), day, metadata)
    for (name, day), entry in result.published.items():
        for reason in entry.get("reasons", ()) if entry["status"] == "refused" else ():
            if reason["check"] == name:  # no test has refused it: it could not be built
                step.keep_result(
                    dg.AssetCheckKey(dg.AssetKey(name), "build"),
                    day,
                    Judgement(False, True, reason["message"]),
                )
    for (unique_id, day), test in result.tests.items():
        if unique_id in checks:
            _report_test(step, lake, checks[unique_id], day, test)


def _report_test(step: Step, lake: Lake, spec: dg.AssetCheckSpec, day: date, test: Mapping[str, Any]) -> None:
    """A test that blocks and only warned was released; dbt's own result does not say so."""
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
        released = str(release_of(lake, Partition(spec.asset_key.path[-1], day), spec.name) or "released")
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
