"""Sensors: runs that are caused by new data.

new_objects         the listing differs from the ledger → the day is built again
late_rows           a source day brought rows of other days → their marts are built again
published_marts     a mart partition was published → it goes to the targets that show it
dead_runs           a run's process has died → the run is marked as failed
"""

import datetime as dt
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

import dagster as dg

from ingest.days import day_text, parse_day
from ingest.errors import ClicklakeError
from ingest.lake.layout import Partition
from ingest.partition.day import is_published
from orchestration.marts.translator import model_key
from orchestration.operations.backfills import BACKFILL_TAG
from orchestration.operations.jobs import daily_build, publish, refresh, restate
from orchestration.operations.lateness import News, days_with_news
from orchestration.operations.runs import days_of_run, is_running
from orchestration.operations.schedules import BUILD_HOUR
from orchestration.partitions import daily, day_tags, days_between
from orchestration.publishing.target import Target, ready, why_not
from orchestration.publishing.targets import TARGETS
from orchestration.raw.assets import RAW_ASSETS
from orchestration.resources import Lakehouse
from orchestration.rules import rules_of
from orchestration.settings import Settings
from orchestration.step import run_lock

MAX_ATTEMPTS = 3  # for the same objects of a day, if runs died before they could judge them
EVENTS_AT_ONCE = 500
# A started run holds its lock, except between steps and in the pauses before a step's next try, of which the longest
# is 45 s.
SECONDS_OF_SILENCE = 60
PUBLISHES = ("pipeline", "restate_and_publish", refresh.name)  # jobs that publish what they build
FINGERPRINT_TAG = "clicklake/objects"


def last_closed_day(now: dt.datetime) -> dt.date:
    """The last day whose scheduled build was due; later days are not late yet."""
    return (now - dt.timedelta(hours=BUILD_HOUR)).date() - dt.timedelta(days=1)


@dg.sensor(
    job=daily_build,
    minimum_interval_seconds=300,
    description="Compares the listing of recent days with the ledger, and builds each day whose objects differ.",
)
def new_objects(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = lakehouse.settings()
    rules_of(settings)  # a mistake fails the tick, which names it
    last = last_closed_day(dt.datetime.now(dt.UTC))
    first = max(last - dt.timedelta(days=settings.sensor_lookback_days - 1), settings.first_day)
    try:
        news = days_with_news(lakehouse.lake(), lakehouse.sources(), days_between(first, last))
    except ClicklakeError as error:
        yield dg.SkipReason(str(error))
        return
    waiting = {day: why for day in news if (why := _why_not_yet(context, settings, day, news[day]))}
    yield from (_request(context, day, news[day]) for day in news if day not in waiting)
    if not news:
        yield dg.SkipReason(f"{first} … {last}: the ledger knows all objects")
    elif len(waiting) == len(news):
        yield dg.SkipReason("; ".join(f"{day}: {why}" for day, why in waiting.items()))


def _request(context: dg.SensorEvaluationContext, day: dt.date, news: News) -> dg.RunRequest:
    """The request for a day's run. Its key holds objects and attempt, so other objects or a dead run cause another."""
    tags = {FINGERPRINT_TAG: news.fingerprint}
    return dg.RunRequest(
        run_key=f"{day}:{news.fingerprint}:{_attempts(context, day, news)}", partition_key=day_text(day), tags=tags
    )


def _attempts(context: dg.SensorEvaluationContext, day: dt.date, news: News) -> int:
    """The number of runs so far for the same objects of a day."""
    tags = {FINGERPRINT_TAG: news.fingerprint, **day_tags(day)}
    return context.instance.get_runs_count(dg.RunsFilter(tags=tags))


def _why_not_yet(context: dg.SensorEvaluationContext, settings: Settings, day: dt.date, news: News) -> str | None:
    """Why no run is requested for a day's new objects now; None if one is requested."""
    now = dt.datetime.now(dt.UTC)
    if is_running(context.instance, day):
        return "a run is at it"
    if _attempts(context, day, news) >= MAX_ATTEMPTS:
        context.log.error(f"{day}: {MAX_ATTEMPTS} runs have died on these objects. See docs/operations.md")
        return f"{MAX_ATTEMPTS} runs have died on these objects"
    settles_at = news.settles_at(dt.timedelta(minutes=settings.settle_minutes))
    if now < settles_at:
        return f"objects still arrive; it waits until {settles_at:%H:%M} UTC for more"
    lately = _recent_requests(context.instance, day, now - dt.timedelta(days=1))
    if lately >= settings.max_late_runs:
        return f"late objects had it run {lately} times in 24 hours; it waits (CLICKLAKE_MAX_LATE_RUNS)"
    return None


def _recent_requests(instance: dg.DagsterInstance, day: dt.date, since: dt.datetime) -> int:
    """The number of runs over a day, created after `since`, that new objects caused."""
    runs = instance.get_runs(dg.RunsFilter(tags=day_tags(day), created_after=since))
    return sum(FINGERPRINT_TAG in run.tags for run in runs)


@dg.sensor(
    job=restate,
    minimum_interval_seconds=60,
    description="Builds the marts of days again for which a run of another source day brought late rows.",
)
def late_rows(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest]:
    lake = lakehouse.lake()
    rules_of(lakehouse.settings())
    for dataset, record in sorted(_arrivals(context), key=lambda arrival: arrival[1].storage_id):
        event = record.asset_materialization
        if event is None:
            continue
        run = context.instance.get_run_by_id(record.run_id)
        # A backfill itself builds all its days and the days that it touches. Rows that a refresh brings for other days
        # wait for the next morning's whole run, which names all these days.
        if run is not None and (BACKFILL_TAG in run.tags or run.job_name == refresh.name):
            context.update_cursor(str(record.storage_id))
            continue
        in_run = days_of_run(run) if run else set()
        touched = event.metadata.get("touched_days")  # none where a person marked the day as materialized
        for key in cast(list[str], touched.value if touched else []):
            if not daily.has_partition_key(key):
                continue
            day = Partition(dataset, parse_day(key))
            if day.day not in in_run and is_published(lake, day):
                yield dg.RunRequest(run_key=f"{key}:{record.storage_id}", partition_key=key)
        context.update_cursor(str(record.storage_id))


def _arrivals(context: dg.SensorEvaluationContext) -> list[tuple[str, dg.EventLogRecord]]:
    """(dataset, materialization) of raw days since the last tick."""
    names = {key: name for name, key in RAW_ASSETS.items()}
    return [(names[key], record) for key, record in _since_last_tick(context, list(names))]


def published_marts(targets: Sequence[Target[Any]]) -> dg.SensorDefinition:
    """The sensor that publishes each new mart partition. If any target is ready it requests all targets: the others log
    in the run what they lack."""

    @dg.sensor(
        name="published_marts",
        job=publish,
        minimum_interval_seconds=60,
        description="Publishes each newly materialized partition of a mart to the targets that show it.",
    )
    def tick(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
        settings = lakehouse.settings()
        if not ready(targets, settings):  # the cursor stays: marts built meanwhile are published once a target is set
            yield dg.SkipReason(why_not(targets, settings))
            return
        of_mart: dict[dg.AssetKey, list[dg.AssetKey]] = defaultdict(list)
        for target in targets:
            of_mart[model_key(target.mart.name)].append(dg.AssetKey(target.name))
        found = _since_last_tick(context, list(of_mart))
        for mart, record in sorted(found, key=lambda each: each[1].storage_id):
            yield from _to_publish(context, of_mart[mart], record)
            context.update_cursor(str(record.storage_id))

    return tick


def _to_publish(
    context: dg.SensorEvaluationContext, targets: Sequence[dg.AssetKey], record: dg.EventLogRecord
) -> Iterator[dg.RunRequest]:
    """The request to publish a partition to its mart's targets, except targets to which the run that built it publishes
    itself. Other marts' targets get their own request when those marts are materialized."""
    run = context.instance.get_run_by_id(record.run_id)
    if run and not run.asset_selection and run.job_name in PUBLISHES:
        return
    chosen = [key for key in targets if not (run and key in (run.asset_selection or ()))]
    if chosen and record.partition_key is not None:
        yield dg.RunRequest(
            run_key=f"{record.partition_key}:{record.storage_id}",
            partition_key=record.partition_key,
            asset_selection=chosen,
        )


def _since_last_tick(
    context: dg.SensorEvaluationContext, keys: Sequence[dg.AssetKey]
) -> list[tuple[dg.AssetKey, dg.EventLogRecord]]:
    """The materializations of some assets since the last tick, up to the last record read for all of them."""
    now = context.instance.event_log_storage.get_maximum_record_id()  # later ones are for the next tick
    found = {key: _after_cursor(context, key) for key in keys}
    full = [records[-1].storage_id for records in found.values() if len(records) == EVENTS_AT_ONCE]
    last = min((each for each in [*full, now] if each is not None), default=None)
    return [
        (key, record)
        for key, records in found.items()
        for record in records
        if last is None or record.storage_id <= last
    ]


def _after_cursor(context: dg.SensorEvaluationContext, key: dg.AssetKey) -> list[dg.EventLogRecord]:
    """Materializations since the last tick, oldest first; `@asset_sensor` would give only the last one."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, after_storage_id=int(context.cursor) if context.cursor else None),
        limit=EVENTS_AT_ONCE,
        ascending=True,
    )
    return list(found.records)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,  # it starts nothing by itself
    description="Marks runs whose process has died as failed, so that Dagster starts them again.",
)
def dead_runs(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SkipReason:
    """A run at work holds a lock (`at_work`). A started run that holds none for `SECONDS_OF_SILENCE` is dead, such as
    after the whole machine went down; Dagster would always show it as started."""
    lake, before = lakehouse.lake(), json.loads(context.cursor or "{}")
    now, suspects = time.time(), {}
    for run in context.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        if lake.holder(run_lock(run.run_id)) is not None:
            continue
        suspects[run.run_id] = before.get(run.run_id, now)
        if now - suspects[run.run_id] >= SECONDS_OF_SILENCE:
            context.instance.report_run_failed(run, "Its process has died. What it had published is whole")
            del suspects[run.run_id]
    context.update_cursor(json.dumps(suspects))
    return dg.SkipReason(f"{len(suspects)} runs are silent" if suspects else "every started run is at work")


def sensors(targets: Sequence[Target[Any]]) -> list[dg.SensorDefinition]:
    return [new_objects, late_rows, published_marts(targets), dead_runs]


SENSORS = sensors(TARGETS)
