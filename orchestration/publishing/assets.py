"""Publishing assets: a published mart partition goes to MongoDB, where the dashboard reads it."""

import time
from collections.abc import Iterator
from dataclasses import asdict

import dagster as dg

from ingest.errors import PublishError, TransientError
from ingest.lake import DATA_FILE, Lake
from orchestration.marts.assets import DAILY_AGGREGATES
from orchestration.partition_events import (
    days_of,
    explained,
    finish,
    partitioned_check,
    refusals,
    report_check,
    report_materialized,
)
from orchestration.partitions import daily, range_in_one_run
from orchestration.publishing.performance_entries import DayReport, connect, ensure_indexes, publish_day
from orchestration.raw.assets import OWNERS
from orchestration.resources import Lakehouse

PERFORMANCE_ENTRIES = dg.AssetKey("performance_entries")

RECONCILED = partitioned_check(
    "reconciled",
    PERFORMANCE_ENTRIES,
    "The day's documents, impressions and clicks in MongoDB are those of the mart",
    blocking=True,
)
PUBLICATIONS_MAPPED = partitioned_check(
    "publications_mapped",
    PERFORMANCE_ENTRIES,
    "Every publication code is in the publications seed (a warning: others are published under their code)",
    blocking=False,
)


@dg.multi_asset(
    name="performance_entries",
    specs=[
        dg.AssetSpec(
            PERFORMANCE_ENTRIES,
            deps=[DAILY_AGGREGATES],
            description=(
                "One document for each order, campaign, publication, channel, creative, size and day, in MongoDB. Only "
                "what changed is written; entries made by hand are never touched."
            ),
            group_name="publishing",
            kinds={"mongodb", "python"},
            owners=OWNERS,
            skippable=True,
        )
    ],
    check_specs=[RECONCILED, PUBLICATIONS_MAPPED],
    can_subset=True,
    partitions_def=daily,
    backfill_policy=range_in_one_run,
)
def performance_entries(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.Output[None]]:
    days = days_of(context)
    bad: dict[str, str] = {}
    with explained():
        settings, lake = lakehouse.settings(), lakehouse.lake()
        with connect(settings.mongodb()) as client, lakehouse.engine() as engine:
            database = client[settings.mongodb_database]
            ensure_indexes(database)
            for day in days:
                if not lake.exists(_mart_key(day)):
                    bad[day] = "daily_aggregates has no published partition of this day"
                    continue
                started = time.monotonic()
                rows = engine.sql(_mart_rows(lake, day)).to_arrow_table()
                try:
                    report = publish_day(database, day, rows)
                except TransientError:
                    raise
                except PublishError as error:  # this day's alone: the others go on
                    report_check(context, RECONCILED.key, day, False, True, str(error))
                    bad[day] = str(error)
                    continue
                _report(context, day, report, time.monotonic() - started)
    # Whatever refused a day earlier in this run ends the run here, after the good days are published.
    yield from finish(context, bad | refusals(context.instance, context.run_id))


def _mart_key(day: str) -> str:
    return f"marts/daily_aggregates/report_date={day}/{DATA_FILE}"


def _mart_rows(lake: Lake, day: str) -> str:
    address = lake.uri(_mart_key(day)).replace("'", "''")
    return f"from read_parquet('{address}', hive_partitioning = true)"


def _report(context: dg.AssetExecutionContext, day: str, report: DayReport, seconds: float) -> None:
    figures = asdict(report)
    metadata = {
        name: dg.MetadataValue.json(value) if isinstance(value, dict | list) else value
        for name, value in figures.items()
    }
    report_materialized(context, PERFORMANCE_ENTRIES, day, metadata | {"seconds": round(seconds, 3)})
    report_check(context, RECONCILED.key, day, True, True, "MongoDB holds what the mart holds", figures)
    unmapped = sorted(report.unmapped_codes)
    message = f"not in the publications seed: {', '.join(unmapped)}" if unmapped else "all codes are mapped"
    report_check(context, PUBLICATIONS_MAPPED.key, day, not unmapped, False, message, {"codes": unmapped})
