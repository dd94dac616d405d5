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
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast

import dagster as dg

from ingest.days import day_text, parse_day
from ingest.errors import ClicklakeError, SourceError
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.day import is_published
from ingest.source import Source
from ingest.words import counted
from orchestration.marts.translator import model_key
from orchestration.operations.backfills import BACKFILL_TAG
from orchestration.operations.jobs import (
    daily_build,
    only_if_news,
    pipeline,
    publish,
    refresh,
    restate,
    restate_and_publish,
)
from orchestration.operations.lateness import News, days_with_news
from orchestration.operations.runs import days_at_work, days_of_run, done_after, run_over, unfinished
from orchestration.operations.schedules import BUILD_HOUR
from orchestration.partitions import covering, daily, days_between
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
LONGEST_HOLD = 15 * 60  # seconds for which a sensor waits for more days that one run can take
HELD = " waits since "  # in a cursor, after the last event and before a time in seconds since 1970
PUBLISHES = (publish.name, pipeline.name, restate_and_publish.name, refresh.name)  # jobs with all or some targets
BUILDS_MARTS = (daily_build.name, pipeline.name, restate.name, restate_and_publish.name)  # jobs with all marts
FINGERPRINT_TAG = "clicklake/objects"


def last_closed_day(now: dt.datetime) -> dt.date:
    """The last day whose scheduled build was due; later days are not late yet."""
    return (now - dt.timedelta(hours=BUILD_HOUR)).date() - dt.timedelta(days=1)


@dg.sensor(
    job=daily_build,
    minimum_interval_seconds=300,
    description="Compares the listing of recent days with the ledger, and builds the days whose objects differ: "
    "consecutive ones in one run.",
)
def new_objects(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = lakehouse.settings()
    rules_of(settings)  # a mistake fails the tick, which names it
    last = last_closed_day(dt.datetime.now(dt.UTC))
    first = max(last - dt.timedelta(days=settings.sensor_lookback_days - 1), settings.first_day)
    try:
        news = _news(context, lakehouse, days_between(first, last))
    except ClicklakeError as error:
        yield dg.SkipReason(str(error))
        return
    busy = days_at_work(context.instance)
    attempts = {day: _attempts(context.instance, day, news[day]) for day in news}
    why_not_yet = partial(_why_not_yet, context, settings, busy=busy, attempts=attempts)
    waiting = {day: why for day in news if (why := why_not_yet(day, news[day]))}
    # A run of its own for a day on whose objects two runs have died: they may be what kills them.
    alone = [day for day in news if day not in waiting and attempts[day] == MAX_ATTEMPTS - 1]
    together = covering(
        {*news} - {*waiting, *alone}, settings.backfill_window_days, partial(_is_settled, lakehouse, {*news, *busy})
    )
    for days in sorted([*together, *([day] for day in alone)]):
        yield _build(days, news, attempts)
    if not news:
        yield dg.SkipReason(f"{first} … {last}: the ledger knows all objects")
    elif len(waiting) == len(news):
        yield dg.SkipReason("; ".join(f"{day}: {why}" for day, why in waiting.items()))


def _news(context: dg.SensorEvaluationContext, lakehouse: Lakehouse, days: Sequence[dt.date]) -> Mapping[dt.date, News]:
    """Days with news of all sources that can be listed. Raises SourceError if none can."""
    lake, sources = lakehouse.lake(), lakehouse.sources()
    try:
        return days_with_news(lake, sources, days)
    except SourceError as error:
        readable = {name: source for name, source in sources.items() if _can_be_listed(source)}
        if not readable:
            raise
        context.log.error(str(error))
        return days_with_news(lake, readable, days)


def _can_be_listed(source: Source) -> bool:
    try:
        source.objects([])
    except SourceError:
        return False
    return True


def _is_settled(lakehouse: Lakehouse, others: Collection[dt.date], day: dt.date) -> bool:
    """Whether a run may cover this day too: it is published, has no news, and no other run is at it. Such a day costs
    its marts, while a second run costs a start of dbt and the days around it."""
    lake, datasets = lakehouse.lake(), lakehouse.sources()
    return day not in others and all(is_published(lake, Partition(dataset, day)) for dataset in datasets)


def _build(days: Sequence[dt.date], news: Mapping[dt.date, News], attempts: Mapping[dt.date, int]) -> dg.RunRequest:
    """The request for a run over consecutive days. Its key holds objects and attempts, so other objects or a dead run
    cause another."""
    new = [day for day in days if day in news]
    content = "|".join(f"{day}:{news[day].fingerprint}:{attempts[day]}" for day in new)
    config = only_if_news(day for day in days if day not in news) if len(new) < len(days) else None
    return run_over(days, content, {_objects_tag(day): news[day].fingerprint for day in new}, run_config=config)


def _objects_tag(day: dt.date) -> str:
    """The tag of a run that holds the fingerprint of a day's objects for which it was asked."""
    return f"{FINGERPRINT_TAG}_{day_text(day)}"


def _attempts(instance: dg.DagsterInstance, day: dt.date, news: News) -> int:
    """The number of runs so far for the same objects of a day."""
    return instance.get_runs_count(dg.RunsFilter(tags={_objects_tag(day): news.fingerprint}))


def _why_not_yet(
    context: dg.SensorEvaluationContext,
    settings: Settings,
    day: dt.date,
    news: News,
    busy: Collection[dt.date],
    attempts: Mapping[dt.date, int],
) -> str | None:
    """Why no run is requested for a day's new objects now; None if one is requested."""
    now = dt.datetime.now(dt.UTC)
    if day in busy:
        return "a run is at it"
    if attempts[day] >= MAX_ATTEMPTS:
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
    """The number of runs, created after `since`, that a day's new objects caused."""
    runs = instance.get_runs(dg.RunsFilter(job_name=daily_build.name, created_after=since))
    return sum(_objects_tag(day) in run.tags for run in runs)


@dg.sensor(
    job=restate,
    minimum_interval_seconds=60,
    description="Builds the marts of days again for which a run of another source day brought late rows: of all days "
    "that wait in one run, once the builds that wait or work have ended.",
)
def late_rows(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
    settings = lakehouse.settings()
    rules_of(settings)
    arrivals = _arrivals(context)
    if not arrivals:
        return
    if held := _held(context, _others(context.instance, but=publish.name)):
        yield held
        return
    late = _late_days(context, lakehouse.lake(), arrivals)
    done = done_after(context.instance, arrivals[0][1].timestamp, _builds_all_marts)
    late = {day: last for day, last in late.items() if not done(day, last.timestamp)}
    for days in covering(late, settings.backfill_window_days, partial(_is_settled, lakehouse, ())):
        yield run_over(days, "|".join(f"{day}:{late[day].storage_id}" for day in days if day in late))
    context.update_cursor(str(arrivals[-1][1].storage_id))


def _builds_all_marts(run: dg.DagsterRun) -> bool:
    return run.job_name in BUILDS_MARTS and not run.asset_selection


def _late_days(
    context: dg.SensorEvaluationContext, lake: Lake, arrivals: Sequence[tuple[str, dg.EventLogRecord]]
) -> dict[dt.date, dg.EventLogRecord]:
    """Day → the last materialization of another source day that brought rows for it, if the day's own source day is
    published."""
    found: dict[dt.date, dg.EventLogRecord] = {}
    for dataset, record in arrivals:
        event, run = record.asset_materialization, context.instance.get_run_by_id(record.run_id)
        # A backfill itself builds all its days and the days that it touches. Rows that a refresh brings for other days
        # wait for the next morning's whole run, which names all these days.
        if event is None or (run is not None and (BACKFILL_TAG in run.tags or run.job_name == refresh.name)):
            continue
        in_run = days_of_run(run) if run else set()
        touched = event.metadata.get("touched_days")  # none where a person marked the day as materialized
        for key in cast(list[str], touched.value if touched else []):
            if daily.has_partition_key(key) and parse_day(key) not in in_run:
                day = Partition(dataset, parse_day(key))
                if found.get(day.day) is not None or is_published(lake, day):
                    found[day.day] = record
    return found


def _arrivals(context: dg.SensorEvaluationContext) -> list[tuple[str, dg.EventLogRecord]]:
    """(dataset, materialization) of raw days since the last tick, the oldest first."""
    names = {key: name for name, key in RAW_ASSETS.items()}
    found = [(names[key], record) for key, record in _since_last_tick(context, list(names))]
    return sorted(found, key=lambda each: each[1].storage_id)


def published_marts(targets: Sequence[Target[Any]]) -> dg.SensorDefinition:
    """The sensor that publishes each new mart partition. If any target is ready it requests all targets: the others log
    in the run what they lack."""

    @dg.sensor(
        name="published_marts",
        job=publish,
        minimum_interval_seconds=60,
        description="Publishes newly materialized partitions of marts to the targets that show them: all that wait in "
        "one run, once the builds that wait or work have ended.",
    )
    def tick(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> Iterator[dg.RunRequest | dg.SkipReason]:
        settings = lakehouse.settings()
        if not ready(targets, settings):  # the cursor stays: marts built meanwhile are published once a target is set
            yield dg.SkipReason(why_not(targets, settings))
            return
        of_mart: dict[dg.AssetKey, list[dg.AssetKey]] = defaultdict(list)
        for target in targets:
            of_mart[model_key(target.mart.name)].append(dg.AssetKey(target.name))
        built = sorted(_since_last_tick(context, list(of_mart)), key=lambda each: each[1].storage_id)
        if not built:
            return
        if held := _held(context, _others(context.instance) or _late_rows_lack(context, lakehouse, built)):
            yield held
            return
        wanted = _to_publish(context, of_mart, built)
        for days in covering({day for day, _ in wanted}, settings.backfill_window_days):
            yield _publication(days, {key: last for key, last in wanted.items() if key[0] in days})
        context.update_cursor(str(built[-1][1].storage_id))

    return tick


def _late_rows_lack(
    context: dg.SensorEvaluationContext, lakehouse: Lakehouse, built: Sequence[tuple[dg.AssetKey, dg.EventLogRecord]]
) -> str | None:
    """Days for which rows have come and whose marts have not been built since, which `late_rows` asks for."""
    late = _late_days(context, lakehouse.lake(), _arrivals(context))
    lacking = [
        day for day, last in sorted(late.items()) if not any(_is_built_later(record, day, last) for _, record in built)
    ]
    return f"late rows of {', '.join(map(day_text, lacking))} are built first" if lacking else None


def _is_built_later(record: dg.EventLogRecord, day: dt.date, than: dg.EventLogRecord) -> bool:
    is_later = record.storage_id > than.storage_id and record.run_id != than.run_id
    return is_later and record.partition_key == day_text(day)


Wanted = Mapping[tuple[dt.date, dg.AssetKey], int]  # (day, target) → id of the last event for which it is published


def _to_publish(
    context: dg.SensorEvaluationContext,
    of_mart: Mapping[dg.AssetKey, Sequence[dg.AssetKey]],
    built: Sequence[tuple[dg.AssetKey, dg.EventLogRecord]],
) -> Wanted:
    """What is to be published: each partition that was built, to its mart's targets. Left out are targets to which the
    run that built it publishes itself, and those that a later run has published it to, or will."""
    wanted: dict[tuple[dt.date, dg.AssetKey], int] = {}
    targets = {target for each in of_mart.values() for target in each}
    done = {
        target: done_after(context.instance, built[0][1].timestamp, partial(_publishes, target=target))
        for target in targets
    }
    for mart, record in built:
        run = context.instance.get_run_by_id(record.run_id)
        for target in of_mart[mart]:
            if record.partition_key is None or (run and _publishes(run, target, but=[publish.name])):
                continue
            day = parse_day(record.partition_key)
            if not done[target](day, record.timestamp):
                wanted[day, target] = record.storage_id
    return wanted


def _publishes(run: dg.DagsterRun, target: dg.AssetKey, but: Collection[str] = ()) -> bool:
    """Whether a run publishes to a target."""
    if run.asset_selection:
        return target in run.asset_selection
    return run.job_name in PUBLISHES and run.job_name not in but


def _publication(days: Sequence[dt.date], wanted: Wanted) -> dg.RunRequest:
    """The request to publish days, and those between them, which cost a comparison each. Targets of other marts get
    their own request when those marts are built."""
    targets = sorted({target for _, target in wanted})
    content = "|".join(f"{day}:{target.to_user_string()}:{last}" for (day, target), last in sorted(wanted.items()))
    config = {"ops": {target.to_user_string(): {"config": {"only_built": True}} for target in targets}}
    return run_over(days, content, asset_selection=targets, run_config=config)


def _others(instance: dg.DagsterInstance, but: str | None = None) -> str | None:
    """Why a request for all days that wait would come too early; None if it would not. Unfinished runs, except those
    of the job `but`, may add days."""
    others = sum(run.job_name != but for run in unfinished(instance))
    return f"{counted(others, 'run')} may add days that one run then takes too" if others else None


def _held(context: dg.SensorEvaluationContext, why: str | None) -> dg.SkipReason | None:
    """The end of a tick that asks for nothing yet, though days wait. A queue that never empties, or a sensor that is
    off, delays nothing longer than `LONGEST_HOLD`: the cursor also holds since when the sensor waits."""
    seen, _, since = (context.cursor or "0").partition(HELD)
    start = float(since or time.time())
    if why is None or time.time() - start > LONGEST_HOLD:
        return None
    context.update_cursor(f"{seen}{HELD}{start:.0f}")
    return dg.SkipReason(f"waits, for {LONGEST_HOLD // 60} minutes at most: {why}")


def _since_last_tick(
    context: dg.SensorEvaluationContext, keys: Sequence[dg.AssetKey]
) -> list[tuple[dg.AssetKey, dg.EventLogRecord]]:
    """The materializations of some assets after the cursor, up to the last record read for all of them."""
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
    """Materializations after the cursor, oldest first; `@asset_sensor` would give only the last one."""
    seen = (context.cursor or "0").partition(HELD)[0]
    found = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(key, after_storage_id=int(seen)),
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
