"""Publishing assets: a published mart partition goes to MongoDB, where the dashboard reads it."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa
from duckdb import DuckDBPyConnection
from pymongo.database import Database

from ingest.errors import PublishError, TransientError
from ingest.lake.files import Lake
from ingest.lake.layout import DATA_FILE
from orchestration import progress
from orchestration.failures import explained
from orchestration.marts.assets import CAMPAIGN_PERFORMANCE, DAILY_AGGREGATES
from orchestration.partitions import daily, range_in_windows
from orchestration.publishing import campaign_entries as campaigns
from orchestration.publishing import performance_entries as performance
from orchestration.publishing.entries import DayReport
from orchestration.publishing.mongodb import Document, connect
from orchestration.raw.assets import OWNERS
from orchestration.resources import Lakehouse
from orchestration.settings import NOT_PUBLISHED
from orchestration.step import Step, begun, materialized_days, partitioned_check, refusals

PERFORMANCE_ENTRIES = dg.AssetKey("performance_entries")
CAMPAIGN_ENTRIES = dg.AssetKey("campaign_entries")
# Mart → the asset that publishes its days.
PUBLISHED_BY = {DAILY_AGGREGATES: PERFORMANCE_ENTRIES, CAMPAIGN_PERFORMANCE: CAMPAIGN_ENTRIES}


@dataclass(frozen=True)
class _Collection:
    """A collection, the mart that it shows, and how a day of it is published."""

    asset: dg.AssetKey
    mart: dg.AssetKey
    ensure_indexes: Callable[[Database[Document]], None]
    publish_day: Callable[[Database[Document], str, pa.Table], DayReport]

    @property
    def reconciled(self) -> dg.AssetCheckSpec:
        figures = "impressions and clicks" if self.mart == DAILY_AGGREGATES else "impressions, clicks and conversions"
        return partitioned_check(
            "reconciled", self.asset, f"The day's documents, {figures} in MongoDB are those of the mart", blocking=True
        )

    @property
    def publications_mapped(self) -> dg.AssetCheckSpec:
        return partitioned_check(
            "publications_mapped",
            self.asset,
            "Every publication code is in the publications seed (a warning: others are published under their code)",
            blocking=False,
        )

    def spec(self, description: str) -> dict[str, Any]:
        """What the two assets have in common."""
        return {
            "specs": [
                dg.AssetSpec(
                    self.asset,
                    deps=[self.mart],
                    description=description,
                    group_name="publishing",
                    kinds={"mongodb", "python"},
                    owners=OWNERS,
                    skippable=True,
                )
            ],
            "check_specs": [self.reconciled, self.publications_mapped],
            "can_subset": True,
            "partitions_def": daily,
            "backfill_policy": range_in_windows,
        }


PERFORMANCE = _Collection(PERFORMANCE_ENTRIES, DAILY_AGGREGATES, performance.ensure_indexes, performance.publish_day)
CAMPAIGNS = _Collection(CAMPAIGN_ENTRIES, CAMPAIGN_PERFORMANCE, campaigns.ensure_indexes, campaigns.publish_day)
PUBLICATIONS_MAPPED = PERFORMANCE.publications_mapped


@dg.multi_asset(
    name="performance_entries",
    **PERFORMANCE.spec(
        "One document for each order, campaign, publication, channel, creative, size and day, in MongoDB. Only what "
        "changed is written; entries made by hand are never touched."
    ),
)
def performance_entries(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.Output[None]]:
    with begun(context, lakehouse) as step:
        yield from _publish(step, PERFORMANCE, step.days)


@dg.multi_asset(
    name="campaign_entries",
    **CAMPAIGNS.spec(
        "One document for each order, campaign, publication, creative, channel and day, in MongoDB, with what each "
        "attribution model gives it. Of a run that builds the mart, the days around its own too that it restates; "
        "nothing where the settings name no events, which attribution is made from."
    ),
)
def campaign_entries(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.Output[None]]:
    with begun(context, lakehouse) as step:
        with explained():
            has_events = lakehouse.settings().events is not None
        if has_events:
            restated = materialized_days(context.instance, context.run_id, CAMPAIGN_PERFORMANCE)
            yield from _publish(step, CAMPAIGNS, sorted({*step.days, *restated}))
        else:
            yield from step.finish({})


def _publish(step: Step, collection: _Collection, days: Iterable[str]) -> Iterator[dg.Output[None]]:
    bad: dict[str, str] = {}
    with explained():
        if step.lakehouse.settings().has_target:
            bad = _publish_days(step, collection, days)
        else:  # a lake without a target is a fine state: no failure, and no day is green
            step.context.log.info(NOT_PUBLISHED)
    # Whatever refused a day earlier in this run ends the run here, after the good days are published.
    yield from step.finish(bad | refusals(step.context.instance, step.context.run_id))


def _publish_days(step: Step, collection: _Collection, days: Iterable[str]) -> dict[str, str]:
    """Publishes the days; gives those that cannot be, and why."""
    bad: dict[str, str] = {}
    settings, lake = step.lakehouse.settings(), step.lakehouse.lake()
    with step.at_work(lake), connect(settings.mongodb()) as client, step.lakehouse.engine() as engine:
        database = client[settings.mongodb_database]
        collection.ensure_indexes(database)
        for day in days:
            with lake.lock(
                f"entries/{collection.asset.to_user_string()}/{day}",
                f"run {step.context.run_id}",
                partial(_tell_of, step.context, collection, day),
            ):
                reason = _publish_day(step, collection, lake, engine, database, day)
            if reason:
                bad[day] = reason
    return bad


def _publish_day(
    step: Step,
    collection: _Collection,
    lake: Lake,
    engine: DuckDBPyConnection,
    database: Database[Document],
    day: str,
) -> str | None:
    """Publishes a day; gives why it cannot be, where that is this day's fault alone."""
    if not lake.exists(_mart_key(collection, day)):
        return f"{collection.mart.to_user_string()} has no published partition of this day"
    started = time.monotonic()
    rows = lake.rows(engine, _mart_key(collection, day))
    try:
        report = collection.publish_day(database, day, rows)
    except TransientError:
        raise
    except PublishError as error:
        step.tell_check(collection.reconciled.key, day, False, True, str(error))
        return str(error)
    _report(step, collection, day, report, time.monotonic() - started)
    return None


def _tell_of(context: dg.AssetExecutionContext, collection: _Collection, day: str, holder: str) -> None:
    progress.tell(context, f"Waiting for {holder}, which publishes {collection.asset.to_user_string()} of {day}")


def _mart_key(collection: _Collection, day: str) -> str:
    return f"marts/{collection.mart.to_user_string()}/report_date={day}/{DATA_FILE}"


def _report(step: Step, collection: _Collection, day: str, report: DayReport, seconds: float) -> None:
    figures = asdict(report)
    metadata = {
        name: dg.MetadataValue.json(value) if isinstance(value, dict | list) else value
        for name, value in figures.items()
    }
    step.tell_materialized(collection.asset, day, metadata | {"seconds": round(seconds, 3)})
    message = "MongoDB holds what the mart holds"
    step.tell_check(collection.reconciled.key, day, True, True, message, figures)
    unmapped = sorted(report.unmapped_codes)
    message = f"not in the publications seed: {', '.join(unmapped)}" if unmapped else "all codes are mapped"
    check = collection.publications_mapped.key
    step.tell_check(check, day, not unmapped, False, message, {"codes": unmapped})
