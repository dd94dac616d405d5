"""Sensors and the schedule: what is requested, and what is not. Real logs in S3, real runs on an instance in memory."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable
from typing import Any

import dagster as dg
import pytest

from ingest.rules.problems import RulesError
from tests.environment_fixtures import DAYS, Environment, bad, good
from tests.log_lines import lines, log
from tests.partitions import days_of, logs_of

DAILY_AGGREGATES = dg.AssetKey("daily_aggregates")
CAMPAIGN_PERFORMANCE = dg.AssetKey("campaign_performance")
RAW = dg.AssetKey("raw_access_logs")

pytestmark = pytest.mark.usefixtures("manifest")


def recent(days_back: int) -> str:
    """A day that the sensor looks at, whether or not its window moves on while the test runs."""
    from orchestration.operations.sensors import last_closed_day

    return (last_closed_day(dt.datetime.now(dt.UTC)) - dt.timedelta(days=days_back)).isoformat()


def tick(name: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    """One evaluation, as the daemon does it: requests with their partition in the tags, and the next cursor."""
    from orchestration.definitions import defs

    resources = {"lakehouse": defs.resources["lakehouse"]}
    with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs, resources=resources) as context:
        return defs.resolve_sensor_def(name).evaluate_tick(context)


def days(ticked: Any) -> list[str]:
    """The days of all requests."""
    return [day for request in ticked.run_requests for day in days_of_request(request)]


def days_of_request(request: dg.RunRequest) -> list[str]:
    from orchestration.partitions import days_of_tags

    partition = {"dagster/partition": request.partition_key} if request.partition_key else {}
    return [day.isoformat() for day in days_of_tags(partition | dict(request.tags))]


def put_log(environment: Environment, day: str, name: str, count: int = 30) -> str:
    """One object of a day, with rows of that day."""
    rows = [row.replace(DAYS[0].encode(), day.encode()) for row in lines(count, start=sum(map(ord, name)) * 100)]
    key = f"E1TEST.{day}-10.{name}.gz"
    environment.put_object(key, log(rows))
    return key


def ingest(environment: Environment, instance: dg.DagsterInstance, *wanted: str, **tags: str) -> bool:
    """Runs the raw asset of the daily job alone, which needs no dbt."""
    return environment.job("daily_build", instance, list(wanted), selection=[RAW], tags=tags).success


def follow(environment: Environment, instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest]) -> list[bool]:
    """Does what was requested, with the tags that the daemon would give the run."""
    return [
        ingest(
            environment,
            instance,
            *days_of_request(request),
            **{**request.tags, "dagster/run_key": str(request.run_key)},
        )
        for request in requests
    ]


# new_objects


def test_only_a_day_with_new_or_changed_objects_is_requested(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    older, newer = recent(3), recent(2)
    for day in (older, newer):
        put_log(environment, day, "a")
    first = tick("new_objects", instance)
    assert days(first) == [older, newer]
    assert follow(environment, instance, first.run_requests) == [True]

    assert days(tick("new_objects", instance)) == []
    assert "the ledger knows all objects" in tick("new_objects", instance).skip_message

    put_log(environment, older, "late")  # an object of an old day
    late = tick("new_objects", instance)
    assert days(late) == [older]
    assert [request.run_key for request in tick("new_objects", instance).run_requests] == [late.run_requests[0].run_key]
    follow(environment, instance, late.run_requests)
    assert days(tick("new_objects", instance)) == []

    put_log(environment, newer, "a", count=31)  # the same object with other content
    assert days(tick("new_objects", instance)) == [newer]
    put_log(environment, newer, "a")  # as it was: stored anew, nothing else
    assert days(tick("new_objects", instance)) == []

    environment.remove(f"E1TEST.{older}-10.late.gz")
    assert days(tick("new_objects", instance)) == [older]


def test_days_outside_of_the_window_are_not_looked_at(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = dt.datetime.now(dt.UTC).date().isoformat()
    for day in (recent(0), recent(4), today):
        put_log(environment, day, "a")
    monkeypatch.setenv("CLICKLAKE_SENSOR_LOOKBACK_DAYS", "2")

    assert days(tick("new_objects", instance)) == [recent(1), recent(0)]  # the first of them is a quiet day
    monkeypatch.setenv("CLICKLAKE_QUIET_AFTER_HOURS", "9999")
    assert days(tick("new_objects", instance)) == [recent(0)]


def test_a_day_that_a_run_works_on_is_left_to_it(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.definitions import defs
    from orchestration.operations import runs
    from orchestration.partitions import range_tags

    before, first, last = recent(4), recent(3), recent(2)
    for day in (before, first, last):
        put_log(environment, day, "a")
    job = defs.resolve_job_def("daily_build")
    instance.create_run_for_job(job, tags=range_tags(days_of(first, last)), status=dg.DagsterRunStatus.STARTED)
    assert days(tick("new_objects", instance)) == [before]

    monkeypatch.setattr(runs, "SILENT_RUNS_ARE_DEAD_AFTER", dt.timedelta(0))  # its machine has died
    assert days(tick("new_objects", instance)) == [before, first, last]


def test_a_refused_day_is_requested_again_only_with_other_objects(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    day = recent(2)
    environment.put(bad(day))
    first = tick("new_objects", instance)
    assert days(first) == [day]
    assert follow(environment, instance, first.run_requests) == [False]
    assert not environment.lake.exists(logs_of(day).ledger_file)

    assert days(tick("new_objects", instance)) == []
    put_log(environment, day, "more")
    assert days(tick("new_objects", instance)) == [day]


def test_a_run_that_died_is_requested_again_but_not_for_ever(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.operations.sensors import MAX_ATTEMPTS

    day = recent(1)
    put_log(environment, day, "a")
    no_folder = environment.folder / "a-file"
    no_folder.touch()
    keys = []
    for _ in range(MAX_ATTEMPTS):
        ticked = tick("new_objects", instance)
        assert days(ticked) == [day]
        keys.append(ticked.run_requests[0].run_key)
        with monkeypatch.context() as patch:
            patch.setenv("CLICKLAKE_LAKE", str(no_folder))
            assert follow(environment, instance, ticked.run_requests) == [False]
    assert len(set(keys)) == MAX_ATTEMPTS  # the daemon runs each key once

    given_up = tick("new_objects", instance)
    assert days(given_up) == []
    assert f"{MAX_ATTEMPTS} runs have died" in given_up.skip_message
    put_log(environment, day, "b")
    assert days(tick("new_objects", instance)) == [day]


@pytest.mark.parametrize("tagged", ["by partition", "by range"])
def test_a_day_that_a_run_is_at_is_not_requested_a_second_time(
    environment: Environment, instance: dg.DagsterInstance, tagged: str
) -> None:
    from orchestration.definitions import defs

    day, other = recent(2), recent(1)
    put_log(environment, day, "a")
    put_log(environment, other, "a")
    span = {"dagster/asset_partition_range_start": recent(3), "dagster/asset_partition_range_end": day}
    run = instance.create_run_for_job(
        defs.resolve_job_def("daily_build"), tags={"dagster/partition": day} if tagged == "by partition" else span
    )
    assert days(tick("new_objects", instance)) == [other]

    instance.report_run_failed(run)
    assert days(tick("new_objects", instance)) == [day, other]


def test_unreachable_logs_are_a_reason_not_a_failure(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKLAKE_LOGS", "s3://no-such-bucket-of-ours/logs")

    ticked = tick("new_objects", instance)

    assert days(ticked) == []
    assert "no such bucket. Correct CLICKLAKE_LOGS" in ticked.skip_message


@pytest.mark.parametrize("sensor", ["new_objects", "late_rows"])
def test_a_wrong_rule_fails_the_tick_which_names_it(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, sensor: str
) -> None:
    (environment.folder / "rules.yml").write_text("variables:\n  session_by: cleint\n", "utf-8")
    monkeypatch.setenv("CLICKLAKE_RULES", str(environment.folder))

    with pytest.raises(RulesError, match=r"rules\.yml, line 2: session_by is 'cleint'"):
        tick(sensor, instance)


def test_a_trickle_of_late_objects_is_one_run_once_it_has_settled(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = recent(1)
    put_log(environment, day, "a")
    monkeypatch.setenv("CLICKLAKE_SETTLE_MINUTES", "15")
    ticked = tick("new_objects", instance)
    assert days(ticked) == []
    assert f"{day}: objects still arrive; it waits until" in ticked.skip_message


@pytest.mark.parametrize(
    ("first", "last", "waits_until"), [(0, 0, 15), (0, 10, 25), (0, 45, 60), (0, 59, 60), (None, None, None)]
)
def test_news_settles_when_the_source_is_quiet_or_has_never_been(
    first: int | None, last: int | None, waits_until: int | None
) -> None:
    """In minutes, with a settle time of 15."""
    from orchestration.operations.lateness import News

    noon = dt.datetime(2026, 1, 12, 12, tzinfo=dt.UTC)

    def at(minutes: int | None) -> dt.datetime | None:
        return None if minutes is None else noon + dt.timedelta(minutes=minutes)

    settles_at = News("", at(first), at(last)).settles_at(dt.timedelta(minutes=15))
    assert settles_at == at(waits_until) if waits_until is not None else settles_at < noon


def test_late_objects_cause_a_bounded_number_of_runs_a_day(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, other = recent(2), recent(1)
    monkeypatch.setenv("CLICKLAKE_MAX_LATE_RUNS", "2")
    for name in ("a", "b"):
        put_log(environment, day, name)
        ticked = tick("new_objects", instance)
        assert days(ticked) == [day]
        assert follow(environment, instance, ticked.run_requests) == [True]
    put_log(environment, day, "c")
    ticked = tick("new_objects", instance)
    assert days(ticked) == []
    assert f"{day}: late objects had it run 2 times in 24 hours" in ticked.skip_message

    put_log(environment, other, "a")
    assert days(tick("new_objects", instance)) == [other]
    monkeypatch.setenv("CLICKLAKE_MAX_LATE_RUNS", "3")
    assert days(tick("new_objects", instance)) == [day, other]


# dead_runs


def test_a_run_whose_process_has_died_has_failed(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.definitions import defs
    from orchestration.operations import sensors
    from orchestration.step import run_lock

    job = defs.resolve_job_def("daily_build")
    working, dead = (instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED) for _ in range(2))

    def status(run: dg.DagsterRun) -> dg.DagsterRunStatus | None:
        found = instance.get_run_by_id(run.run_id)
        return found.status if found else None

    with environment.lake.lock(run_lock(working.run_id)):
        first = tick("dead_runs", instance)
        assert first.skip_message == "1 runs are silent"
        second = tick("dead_runs", instance, first.cursor)  # perhaps between two of its steps
        assert status(dead) == dg.DagsterRunStatus.STARTED

        monkeypatch.setattr(sensors, "SECONDS_OF_SILENCE", 0)
        third = tick("dead_runs", instance, second.cursor)
        assert status(dead) == dg.DagsterRunStatus.FAILURE
        assert status(working) == dg.DagsterRunStatus.STARTED
        assert third.skip_message == "every started run is at work"


def test_a_run_that_waits_for_its_next_try_is_not_dead() -> None:
    from orchestration.failures import LONGER_EACH_TIME, RETRIES, SECONDS_BETWEEN_RETRIES
    from orchestration.operations.sensors import SECONDS_OF_SILENCE

    longest_pause = SECONDS_BETWEEN_RETRIES * LONGER_EACH_TIME ** (RETRIES - 1)
    assert longest_pause + 10 < SECONDS_OF_SILENCE


# late_rows


def test_days_that_late_rows_came_for_are_built_again(environment: Environment, instance: dg.DagsterInstance) -> None:
    first, second = DAYS[:2]
    environment.put(good(first), good(second))
    ingest(environment, instance, first)
    ticked = tick("late_rows", instance)
    assert days(ticked) == []  # it has rows of the second day, which nobody has built yet

    ingest(environment, instance, second)
    ticked = tick("late_rows", instance, ticked.cursor)
    assert days(ticked) == []

    ingest(environment, instance, first)
    ticked, cursor = tick("late_rows", instance, ticked.cursor), ticked.cursor
    assert days(ticked) == [second]
    assert ticked.run_requests[0].job_name in (None, "restate")
    assert tick("late_rows", instance, cursor).run_requests[0].run_key == ticked.run_requests[0].run_key
    assert days(tick("late_rows", instance, ticked.cursor)) == []

    ingest(environment, instance, first)
    again = tick("late_rows", instance, ticked.cursor)
    assert days(again) == [second]
    assert again.run_requests[0].run_key != ticked.run_requests[0].run_key

    ingest(environment, instance, first, second)  # the second day's marts follow in the same run
    assert days(tick("late_rows", instance, again.cursor)) == []


def test_a_day_marked_by_hand_and_days_that_are_no_partition_request_nothing(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    day = DAYS[0]
    put_log(environment, day, "a")
    ingest(environment, instance, day)
    by_hand = dg.AssetMaterialization(RAW, partition=DAYS[1])
    odd = dg.AssetMaterialization(
        RAW, partition=DAYS[2], metadata={"touched_days": dg.MetadataValue.json(["1999-12-31", "2999-01-01"])}
    )
    real = dg.AssetMaterialization(RAW, partition=DAYS[2], metadata={"touched_days": dg.MetadataValue.json([day])})
    for event in (by_hand, odd, real):
        instance.report_runless_asset_event(event)

    ticked = tick("late_rows", instance)

    assert days(ticked) == [day]
    assert days(tick("late_rows", instance, ticked.cursor)) == []


# published_marts


def published(ticked: Any) -> list[tuple[list[str], list[str]]]:
    """(days, targets) of each request."""
    return [
        (days_of_request(request), [key.to_user_string() for key in request.asset_selection])
        for request in ticked.run_requests
    ]


def test_all_days_that_wait_are_published_by_one_run(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.operations import sensors

    put = [(DAILY_AGGREGATES, DAYS[0]), (CAMPAIGN_PERFORMANCE, DAYS[0]), (CAMPAIGN_PERFORMANCE, DAYS[1])]
    put += [(CAMPAIGN_PERFORMANCE, DAYS[3]), (DAILY_AGGREGATES, DAYS[3]), (DAILY_AGGREGATES, DAYS[0])]
    for mart, day in put:
        instance.report_runless_asset_event(dg.AssetMaterialization(mart, partition=day))

    both = ["campaign_entries", "performance_entries"]
    ticked = tick("published_marts", instance)
    assert published(ticked) == [(DAYS[:4], both)]
    assert ticked.run_requests[0].run_config["ops"]["campaign_entries"]["config"] == {"only_built": True}
    assert published(tick("published_marts", instance, ticked.cursor)) == []

    # More of one than fit into a tick: the other is not read beyond it, or what lies between would be passed over.
    monkeypatch.setattr(sensors, "EVENTS_AT_ONCE", 2)
    found, cursor = [], None
    while (part := tick("published_marts", instance, cursor)).run_requests:
        found += published(part)
        cursor = part.cursor
    assert found == [(DAYS[:2], both), (DAYS[:4], both)]
    monkeypatch.setattr(sensors, "EVENTS_AT_ONCE", 500)
    monkeypatch.setenv("CLICKLAKE_BACKFILL_WINDOW_DAYS", "3")
    assert published(tick("published_marts", instance)) == [(DAYS[:2], both), (DAYS[3:4], both)]


def test_a_publication_takes_what_was_built_before_it_began(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that still waits publishes what is built meanwhile; one at work may have read the mart before."""
    from orchestration.definitions import defs
    from orchestration.operations import runs, sensors
    from orchestration.partitions import range_tags

    monkeypatch.setattr(runs, "CLOCKS_DIFFER", 0)
    job = defs.resolve_job_def("publish")

    def publish(*wanted: str) -> dg.DagsterRun:
        return instance.create_run_for_job(
            job, tags=range_tags(days_of(*wanted)), status=dg.DagsterRunStatus.NOT_STARTED
        )

    def build(*wanted: str) -> None:
        for day in wanted:
            instance.report_runless_asset_event(dg.AssetMaterialization(DAILY_AGGREGATES, partition=day))

    run = publish(DAYS[0], DAYS[1])
    build(*DAYS[:3])
    waits = tick("published_marts", instance)
    assert (days(waits), "1 run may add days" in waits.skip_message) == ([], True)
    monkeypatch.setattr(sensors, "LONGEST_HOLD", -1)
    assert days(tick("published_marts", instance, waits.cursor)) == [DAYS[2]]

    instance.report_engine_event("", run)
    instance.handle_new_event(event_of(run, dg.DagsterEventType.RUN_START))
    assert days(tick("published_marts", instance, waits.cursor)) == [DAYS[2]]
    build(DAYS[1])
    assert days(tick("published_marts", instance, waits.cursor)) == DAYS[1:3]
    instance.report_run_failed(run)
    assert days(tick("published_marts", instance, waits.cursor)) == DAYS[:3]


def event_of(run: dg.DagsterRun, kind: dg.DagsterEventType) -> dg.EventLogEntry:
    """The event of a run that has begun or ended now."""
    event = dg.DagsterEvent(event_type_value=kind.value, job_name=run.job_name)
    return dg.EventLogEntry(None, 10, "", run.run_id, time.time(), job_name=run.job_name, dagster_event=event)


@pytest.mark.slow
def test_only_runs_that_do_not_publish_themselves_are_followed(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    from orchestration.definitions import defs

    day = DAYS[0]
    put_log(environment, day, "a")
    assert environment.job("daily_build", instance, [day]).success
    ticked = tick("published_marts", instance)
    assert days(ticked) == [day]
    assert environment.entries() == []

    request = ticked.run_requests[0]
    assert environment.job("publish", instance, [request.partition_key], tags=request.tags).success
    assert days(tick("published_marts", instance, ticked.cursor)) == []

    chosen = sorted(defs.resolve_asset_graph().executable_asset_keys)  # as a person chooses assets in the UI
    assert environment.job("pipeline", instance, [day], selection=chosen).success
    after = tick("published_marts", instance, ticked.cursor)
    assert days(after) == []
    assert after.cursor != ticked.cursor  # the event was seen


# the schedule


@pytest.mark.parametrize(
    ("at", "wanted"),
    [("2026-01-13T06:00", "2026-01-12"), ("2027-01-01T06:00", "2026-12-31"), ("2028-03-01T06:00", "2028-02-29")],
)
def test_the_schedule_builds_yesterday_at_six_utc(at: str, wanted: str) -> None:
    from orchestration.definitions import defs

    schedule = defs.resolve_schedule_def("build_yesterday")
    context = dg.build_schedule_context(
        scheduled_execution_time=dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC),
        repository_def=defs.get_repository_def(),
    )

    assert days(schedule.evaluate_tick(context)) == [wanted]
    assert schedule.job_name == "daily_build"
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "UTC")
