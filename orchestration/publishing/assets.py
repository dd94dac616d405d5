"""Publishing assets, one for each target: they bring a published day of a mart to where its readers look for it."""

import time
from collections.abc import Iterable, Iterator
from datetime import date
from functools import partial
from typing import Any

import dagster as dg
from duckdb import DuckDBPyConnection
from pydantic import Field

from ingest.days import day_text
from ingest.errors import DamagedError, PublishError, TransientError
from ingest.lake.files import Lake
from ingest.partition.local_files import local_files
from orchestration import progress
from orchestration.failures import explained
from orchestration.marts.translator import model_key
from orchestration.partitions import daily, range_in_windows
from orchestration.publishing.target import Report, Target
from orchestration.raw.assets import OWNERS
from orchestration.resources import Lakehouse
from orchestration.step import Step, begun, materialized_days, partitioned_check, refusals

GROUP = "publishing"


class Days(dg.Config):
    """Which days of a run are published."""

    only_built: bool = Field(
        default=False, description="Leave out days that the mart has no partition of, instead of failing for them"
    )


def publishing_asset(target: Target[Any]) -> dg.AssetsDefinition:
    """The asset that publishes to a target. It opens no connection before it runs."""
    key = dg.AssetKey(target.name)
    spec = dg.AssetSpec(
        key,
        deps=[model_key(target.mart.name)],
        description=target.description,
        group_name=GROUP,
        kinds=set(target.kinds),
        owners=OWNERS,
        skippable=True,
        metadata={"key": list(target.key), "measures": list(target.measures)},
    )

    @dg.multi_asset(
        name=target.name,
        specs=[spec],
        check_specs=[partitioned_check(each.name, key, each.description, each.blocks) for each in target.checks],
        can_subset=True,
        partitions_def=daily,
        backfill_policy=range_in_windows,
    )
    def publish(context: dg.AssetExecutionContext, lakehouse: Lakehouse, config: Days) -> Iterator[dg.Output[None]]:
        with begun(context, lakehouse) as step:
            yield from _publish(step, target, config.only_built)

    return publish


def _publish(step: Step, target: Target[Any], only_built: bool) -> Iterator[dg.Output[None]]:
    """Publishes the days of the run, and the days around them whose mart the run restated."""
    context, lakehouse = step.context, step.lakehouse
    bad: dict[date, str] = {}
    with explained():
        lacks = target.lacks(lakehouse.settings())
        if lacks is None:
            restated = materialized_days(context.instance, context.run_id, model_key(target.mart.name))
            lake, mart = lakehouse.lake(), target.mart
            days = [day for day in step.days if not only_built or lake.exists(mart.file(day))]
            bad = _publish_days(step, target, sorted({*days, *restated}))
        elif lakehouse.lake().folders(target.mart.folder):
            context.log.info(lacks)  # a valid state: the run does not fail, and no day counts as published
        else:  # there is nothing to publish either
            yield from step.finish({})
            return
    # Days that an earlier step refused fail the run here, after the good days are published.
    yield from step.finish(bad | _refused_before(context, target))


def _refused_before(context: dg.AssetExecutionContext, target: Target[Any]) -> dict[date, str]:
    """Day → reason, for days that the run refused up to this target; refusals by other targets are left out."""
    layer = context.job_def.asset_layer
    others = {key for key in layer.executable_asset_keys if layer.get(key).group_name == GROUP}
    return refusals(context.instance, context.run_id, but=others - {dg.AssetKey(target.name)})


def _publish_days(step: Step, target: Target[Any], days: Iterable[date]) -> dict[date, str]:
    """Publishes the days. Returns day → reason for days that cannot be published."""
    bad: dict[date, str] = {}
    context, settings, lake = step.context, step.lakehouse.settings(), step.lakehouse.lake()
    with step.at_work(lake), target.open(settings) as opened, step.lakehouse.engine() as engine:
        target.prepare(opened)
        for day in days:
            with lake.lock(
                f"entries/{target.name}/{day_text(day)}",
                f"run {context.run_id}",
                partial(_tell_of, context, target, day),
            ):
                reason = _publish_day(step, target, lake, engine, opened, day)
            if reason:
                bad[day] = reason
    return bad


def _publish_day(
    step: Step,
    target: Target[Any],
    lake: Lake,
    engine: DuckDBPyConnection,
    opened: Any,
    day: date,
) -> str | None:
    """Publishes a day. Returns the reason if this day cannot be published; a TransientError is raised."""
    if not lake.exists(target.mart.file(day)):
        return f"{target.mart.name} has no published partition of this day"
    started = time.monotonic()
    key = target.mart.file(day)
    try:
        with lake.staging() as folder:
            rows = lake.rows(engine, key, local_files(lake, [key], folder)[key])
    except DamagedError as error:
        return str(error)
    try:
        report = target.publish(opened, day, rows, lake.confirm_locks)
    except TransientError:
        raise
    except PublishError as error:
        report = target.refused(str(error))
    return _report(step, target, day, report, time.monotonic() - started)


def _tell_of(context: dg.AssetExecutionContext, target: Target[Any], day: date, holder: str) -> None:
    progress.tell(context, f"Waiting for {holder}, which publishes {target.name} of {day}")


def _report(step: Step, target: Target[Any], day: date, report: Report, seconds: float) -> str | None:
    """Reports a day to Dagster. Returns the reason if the day is refused, else None."""
    key = dg.AssetKey(target.name)
    verdicts = [(check, verdict) for check in target.checks if (verdict := report.on(check))]
    refused = [verdict.message for check, verdict in verdicts if check.blocks and not verdict.passed]
    if not refused:
        step.tell_materialized(key, day, {**report.figures, "seconds": round(seconds, 3)})
    for check, verdict in verdicts:
        of_asset = dg.AssetCheckKey(key, check.name)
        step.tell_check(of_asset, day, verdict.passed, check.blocks, verdict.message, verdict.figures)
    return "; ".join(refused) or None
