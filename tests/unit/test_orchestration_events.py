"""Dagster says what the lake says: events of each day of a run, on the raw asset alone, which needs no dbt."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import dagster as dg
import pytest

from ingest.days import parse_day
from ingest.errors import ClicklakeError, LakeError, TransientError
from orchestration.failures import RETRIES, explained, failed
from orchestration.partitions import consecutive, days_between, next_day, range_tags
from tests.environment_fixtures import DAYS, Environment
from tests.log_lines import lines, log
from tests.partitions import days_of

RAW = dg.AssetKey("raw_access_logs")


def put_good(environment: Environment, day: str) -> None:
    rows = [row.replace(DAYS[0].encode(), day.encode(), 1) for row in lines(20)]
    environment.put_object(f"E1TEST.{day}-10.a.gz", log(rows))


def put_bad(environment: Environment, day: str) -> None:
    environment.put_object(f"E1TEST.{day}-10.a.gz", log([b"no log line at all"] * 20))


def run(environment: Environment, instance: dg.DagsterInstance, days: list[str]) -> dg.ExecuteInProcessResult:
    return environment.job("daily_build", instance, days, selection=[RAW])


def materialized(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> Counter[str]:
    """Day → how often it was reported."""
    logged = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return Counter(str(entry.get_dagster_event().partition) for entry in logged)


def failure(result: dg.ExecuteInProcessResult) -> dg.DagsterEvent:
    [found] = [event for event in result.all_events if event.is_step_failure]
    return found


def test_each_good_day_of_a_range_is_reported_once(environment: Environment, instance: dg.DagsterInstance) -> None:
    """Dagster itself would add a materialization of every day of the range: `_NO_EVENTS` keeps it from that."""
    for day in DAYS[:3]:
        put_good(environment, day)

    result = run(environment, instance, DAYS[:3])

    assert result.success
    assert materialized(instance, result) == dict.fromkeys(DAYS[:3], 1)


def test_a_bad_day_of_a_range_is_not_reported_and_ends_the_run(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    put_good(environment, DAYS[0])
    put_bad(environment, DAYS[1])
    put_good(environment, DAYS[2])

    result = run(environment, instance, DAYS[:3])

    assert not result.success
    assert materialized(instance, result) == {DAYS[0]: 1, DAYS[2]: 1}
    told = failure(result).step_failure_data.user_failure_data
    assert told is not None
    assert str(told.description).startswith(
        f"1 day not published. {DAYS[1]}: raw_access_logs refused (objects_readable"
    )
    assert instance.get_materialized_partitions(RAW) == {DAYS[0], DAYS[2]}


def test_where_no_day_is_left_nothing_below_is_run(environment: Environment, instance: dg.DagsterInstance) -> None:
    for day in DAYS[:2]:
        put_bad(environment, day)

    result = environment.job("daily_build", instance, DAYS[:2])

    assert failure(result).step_key == "raw_access_logs"
    assert "dbt_models" not in {event.step_key for event in result.all_events if event.is_step_start}
    assert materialized(instance, result) == {}


def test_a_day_that_was_good_stays_green_when_a_later_run_refuses_it(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    put_good(environment, DAYS[0])
    run(environment, instance, [DAYS[0]])
    before = environment.contents("raw")
    put_bad(environment, DAYS[0])

    assert not run(environment, instance, [DAYS[0]]).success
    assert instance.get_materialized_partitions(RAW) == {DAYS[0]}
    assert environment.contents("raw") == before


def test_errors_of_the_library_become_retries_or_one_sentence() -> None:
    with pytest.raises(dg.RetryRequested) as retry, explained():
        raise TransientError("busy")
    assert retry.value.max_retries == RETRIES

    for kind in (ClicklakeError, LakeError):
        with pytest.raises(dg.Failure, match=r"^no lake$") as told, explained():
            raise kind("no lake")
        assert not told.value.allow_retries

    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError  # a bug keeps its traceback


def test_a_failure_names_each_day() -> None:
    told = failed({parse_day(DAYS[1]): "worse", parse_day(DAYS[0]): "bad"})
    assert told.description == f"2 days not published. {DAYS[0]}: bad | {DAYS[1]}: worse"
    assert told.metadata["days"].value == {DAYS[0]: "bad", DAYS[1]: "worse"}


def test_days() -> None:
    assert next_day(dt.date(2028, 2, 28)) == dt.date(2028, 2, 29)
    assert next_day(dt.date(2026, 12, 31)) == dt.date(2027, 1, 1)
    assert days_between(dt.date(2026, 2, 27), dt.date(2026, 3, 1)) == days_of("2026-02-27", "2026-02-28", "2026-03-01")
    assert consecutive([]) == []
    assert consecutive(days_of("2026-03-02", "2026-02-28", "2026-03-01", "2026-03-04", "2026-03-02")) == [
        days_of("2026-02-28", "2026-03-01", "2026-03-02"),
        days_of("2026-03-04"),
    ]
    assert set(range_tags(days_of(*DAYS)).values()) == {DAYS[0], DAYS[-1]}
