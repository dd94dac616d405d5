"""Raw assets: which source day is ingested when. How a log is read is in `ingest/`."""

from collections.abc import Iterator

import dagster as dg

from ingest.audit import CHECKS, Verdict
from ingest.day import DATASET, DayResult, ingest_day
from ingest.schema import ACCESS_LOGS
from orchestration import progress
from orchestration.partition_events import (
    days_of,
    explained,
    finish,
    partitioned_check,
    report_check,
    report_materialized,
)
from orchestration.partitions import daily, range_in_one_run
from orchestration.resources import Lakehouse

RAW_ACCESS_LOGS = dg.AssetKey("raw_access_logs")
OWNERS = ["team:data-platform"]
NEVER_BLOCKS = {"objects_whole", "volume"}

_columns = dg.TableSchema(
    [dg.TableColumn(column.name, str(column.type), description=column.description) for column in ACCESS_LOGS]
)


@dg.multi_asset(
    name="raw_access_logs",
    specs=[
        dg.AssetSpec(
            RAW_ACCESS_LOGS,
            description=(
                "CloudFront access logs of one source day, typed, pseudonymised, deduplicated and checked, as Parquet "
                f"by event date: raw/{DATASET}/event_date=E/source_date=S. A day that fails a check is put into "
                "quarantine, and its last good version stays."
            ),
            group_name="raw",
            kinds={"s3", "python", "parquet"},
            owners=OWNERS,
            metadata={"dagster/column_schema": _columns},
            skippable=True,
        )
    ],
    check_specs=[
        partitioned_check(check.name, RAW_ACCESS_LOGS, check.description, blocking=check.name not in NEVER_BLOCKS)
        for check in CHECKS
    ],
    can_subset=True,
    partitions_def=daily,
    backfill_policy=range_in_one_run,
)
def raw_access_logs(context: dg.AssetExecutionContext, lakehouse: Lakehouse) -> Iterator[dg.Output[None]]:
    days = days_of(context)
    bad: dict[str, str] = {}
    with explained():
        settings, lake, source = lakehouse.settings(), lakehouse.lake(), lakehouse.source()
        listed = source.objects(days)
        raw_files = lake.files(f"raw/{DATASET}")
        for day in days:
            objects = [item for item in listed if item.day == day]
            with progress.task(context, f"raw {day}", len(objects)) as advance:
                result = ingest_day(lake, source, day, settings.ingest_options(), objects, raw_files, advance)
            _report(context, result)
            if not result.published:
                bad[day] = f"raw_access_logs refused ({result.reason})"
    yield from finish(context, bad)


def _report(context: dg.AssetExecutionContext, result: DayResult) -> None:
    if result.published:
        report_materialized(context, RAW_ACCESS_LOGS, result.day, _metadata(result))
    else:
        context.log.error(f"{result.day} refused, its last good version stays: {result.reason}")
    for verdict in result.verdicts:
        _report_verdict(context, result.day, verdict)


def _report_verdict(context: dg.AssetExecutionContext, day: str, verdict: Verdict) -> None:
    check = dg.AssetCheckKey(RAW_ACCESS_LOGS, verdict.check)
    report_check(context, check, day, verdict.passed, verdict.blocks, verdict.message, verdict.figures)


def _metadata(result: DayResult) -> dict[str, object]:
    return {
        "dagster/partition_row_count": result.rows_kept,
        "rows_read": result.rows_read,
        "rows_kept": result.rows_kept,
        "rows_rejected": result.rows_rejected,
        "rows_duplicate": result.rows_duplicate,
        "rejects_by_reason": dg.MetadataValue.json(result.rejects_by_reason),
        "objects": result.objects,
        "bytes": result.bytes_written,
        "seconds": round(sum(result.seconds.values()), 3),
        "rows_by_event_date": dg.MetadataValue.json(result.rows_by_event_date),
        "touched_days": dg.MetadataValue.json(result.touched_days),
    }
