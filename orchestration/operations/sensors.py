"""Sensors: what runs because something arrived or was published.

new_objects         the listing differs from the ledger → the day is built again
late_rows           a source day brought rows of other days → their marts are built again
published_marts     a mart partition was really published → it goes to MongoDB
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import dagster as dg

from ingest.datasets import DATASETS
from ingest.day import is_published
from ingest.errors import ClicklakeError
from ingest.lake import Lake
from ingest.ledger import Version, is_judged, version_of
from ingest.source import Source
from orchestration.operations.jobs import daily_build, publish, refresh, restate
from orchestration.operations.runs import days_of_run, is_running
from orchestration.operations.schedules import BUILD_HOUR
from orchestration.operations.status import objects_by_day
from orchestration.partitions import daily, days_between
from orchestration.publishing.assets import PUBLISHED_BY
from orchestration.raw.assets import RAW_ASSETS
from orchestration.resources import Lakehouse

MAX_ATTEMPTS = 3  # of the same content of a day, where runs died before they could judge it
EVENTS_AT_ONCE = 500
FINGERPRINT_TAG = "clicklake/objects"


def last_closed_day(now: dt.datetime) -> dt.date:
    """The last day that the schedule has had its turn with; later ones are not late yet."""
    return (now - dt.timedelta(hours=BUILD_HOUR)).date() - dt.timedelta(days=1)


@dg.sensor(
    job=daily_build,
    minimum_interval_seconds=300,
    description="Compares the listing of recent days with the ledger, and builds each day whose objects are news.",
)
def new_objects(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = lakehouse.settings()
    last = last_closed_day(dt.datetime.now(dt.UTC))
    first = max(last - dt.timedelta(days=settings.sensor_lookback_days - 1), settings.first_day)
    try:
        news = days_with_news(lakehouse.lake(), lakehouse.sources(), days_between(first, last))
    except ClicklakeError as error:
        yield dg.SkipReason(str(error))
        return
    requests = [request for day in sorted(news) if (request := _request(context, day, news[day]))]
    yield from requests
    if not news:
        yield dg.SkipReason(f"{first} … {last}: the ledger knows all objects")
    elif not requests:
        yield dg.SkipReason(f"{', '.join(sorted(news))}: news, but a run is at it, or {MAX_ATTEMPTS} have died on it")


def _request(context: dg.SensorEvaluationContext, day: str, objects: str) -> dg.RunRequest | None:
    """Content and attempt make the run key: news is asked for again, and a run that died is tried again."""
    if is_running(context.instance, day):
        return None
    tags = {FINGERPRINT_TAG: objects}
    attempts = context.instance.get_runs_count(dg.RunsFilter(tags=tags | {"dagster/partition": day}))
    if attempts >= MAX_ATTEMPTS:
        context.log.error(f"{day}: {attempts} runs have died on these objects. See docs/operations.md")
        return None
    return dg.RunRequest(run_key=f"{day}:{objects}:{attempts}", partition_key=day, tags=tags)


def days_with_news(lake: Lake, sources: Mapping[str, Source], days: Sequence[str]) -> dict[str, str]:
    """Day → fingerprint of its objects, where neither the ledger nor a refusal has judged just these."""
    news: set[str] = set()
    versions: dict[str, set[Version]] = {}
    for name, source in sources.items():
        for day, objects in objects_by_day(source.objects(days)).items():
            versions.setdefault(day, set()).update(map(version_of, objects))
            if not is_judged(lake, DATASETS[name], day, objects):
                news.add(day)
    return {day: fingerprint(versions[day]) for day in sorted(news)}


def fingerprint(objects: Iterable[Version]) -> str:
    return hashlib.sha256(json.dumps(sorted(objects)).encode()).hexdigest()[:16]


@dg.sensor(
    job=restate,
    minimum_interval_seconds=60,
    description="Builds the marts of days again that a source day, run on its own, brought late rows for.",
)
def late_rows(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest]:
    lake = lakehouse.lake()
    for dataset, record in sorted(_arrivals(context), key=lambda arrival: arrival[1].storage_id):
        event = record.asset_materialization
        if event is None:
            continue
        run = context.instance.get_run_by_id(record.run_id)
        in_run = days_of_run(run) if run else set()
        # What a refresh brings other days waits for the next morning's whole run, which names them all.
        is_refresh = run is not None and run.job_name == refresh.name
        # None where a person marked the day as materialized.
        touched = None if is_refresh else event.metadata.get("touched_days")
        for day in cast(list[str], touched.value if touched else []):
            if day not in in_run and daily.has_partition_key(day) and is_published(lake, day, DATASETS[dataset]):
                yield dg.RunRequest(run_key=f"{day}:{record.storage_id}", partition_key=day)
        context.update_cursor(str(record.storage_id))


def _arrivals(context: dg.SensorEvaluationContext) -> list[tuple[str, dg.EventLogRecord]]:
    """(dataset, materialization) of raw days since the last tick."""
    names = {key: name for name, key in RAW_ASSETS.items()}
    return [(names[key], record) for key, record in _since_last_tick(context, list(names))]


@dg.sensor(
    job=publish,
    minimum_interval_seconds=60,
    description="Publishes each partition of daily_aggregates and campaign_performance that was really put in place.",
)
def published_marts(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    found = _since_last_tick(context, list(PUBLISHED_BY))
    for mart, record in sorted(found, key=lambda each: each[1].storage_id):
        entries = PUBLISHED_BY[mart]
        run = context.instance.get_run_by_id(record.run_id)
        publishes_itself = run is not None and entries in (run.asset_selection or _all_of_job(run))
        if not publishes_itself and record.partition_key is not None:
            # The entries of this mart alone: the other one has a request of its own, if it was put in place too.
            yield dg.RunRequest(
                run_key=f"{record.partition_key}:{record.storage_id}",
                partition_key=record.partition_key,
                asset_selection=[entries],
            )
        context.update_cursor(str(record.storage_id))


def _since_last_tick(
    context: dg.SensorEvaluationContext, keys: Sequence[dg.AssetKey]
) -> list[tuple[dg.AssetKey, dg.EventLogRecord]]:
    """The materializations of some assets since the last tick; of each as far as those of all have been read."""
    now = context.instance.event_log_storage.get_maximum_record_id()  # what comes meanwhile is the next tick's
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
    """All materializations since the last tick, oldest first; `@asset_sensor` would show the last one alone."""
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, after_storage_id=int(context.cursor) if context.cursor else None),
        limit=EVENTS_AT_ONCE,
        ascending=True,
    )
    return list(found.records)


def _all_of_job(run: dg.DagsterRun) -> set[dg.AssetKey]:
    """The assets of a run of a whole job, which names no selection."""
    return set(PUBLISHED_BY.values()) if run.job_name in ("pipeline", "restate_and_publish", refresh.name) else set()


SENSORS = [new_objects, late_rows, published_marts]
