"""A bad day among good ones: nobody sees it, in whatever run; its last good version stays, and its rows can be read.

One story, told in order: five days in one range, the third bad; the first replaced by a bad version; the second
poisoned in raw, so that dbt's tests refuse it.
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from demo.traffic import expected_aggregates
from ingest.days import parse_day
from ingest.partition.audit import CHECKS
from tests.environment_fixtures import DAYS, Environment, bad, good, mart_key
from tests.integration.dbt_fixtures import request, spoil, write_raw
from tests.partitions import days_of

pytestmark = pytest.mark.slow

DAYS = DAYS[:4]
ONE, TWO, BAD, FOUR = DAYS
GOOD = [ONE, TWO, FOUR]
RAW, MART, ENTRIES = map(dg.AssetKey, ("raw_access_logs", "daily_aggregates", "performance_entries"))
BAD_ROWS = bad(BAD)


@pytest.fixture(scope="module")
def told(shared_environment: Environment) -> dict[str, Any]:
    """The environment after the range; what later chapters need of the ones before."""
    environment = shared_environment
    environment.put(*(good(day) for day in GOOD), BAD_ROWS)
    result = environment.run(*DAYS)
    return {"result": result, "run": _last_run(), "files": environment.contents(), "documents": environment.documents()}


def _instance() -> dg.DagsterInstance:
    return dg.DagsterInstance.get()


def _last_run() -> str:
    with _instance() as instance:
        return instance.get_runs(limit=1)[0].run_id


def _events(run_id: str, kind: dg.DagsterEventType) -> list[Any]:
    with _instance() as instance:
        return [entry.get_dagster_event() for entry in instance.all_logs(run_id, of_type=kind)]


def _materialized(run_id: str) -> list[tuple[str, str]]:
    """(asset, day) of each materialization of a run: one that is reported twice stands here twice."""
    found = [
        event.step_materialization_data.materialization
        for event in _events(run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    ]
    return sorted((each.asset_key.to_user_string(), str(each.partition)) for each in found)


def _checks(run_id: str, asset: dg.AssetKey, day: str) -> dict[str, Any]:
    found = [event.event_specific_data for event in _events(run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION)]
    return {check.check_name: check for check in found if check.asset_key == asset and check.partition == day}


def _query(environment: Environment, sql: str) -> list[dict[str, Any]]:
    """What an analyst sees."""
    done = environment.command("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# Five days in one range, the third of them bad.


def test_good_days_are_published_and_the_bad_one_is_named(told: dict[str, Any]) -> None:
    result = told["result"]
    assert list(result.bad) == days_of(BAD)
    assert "raw_access_logs refused (reject_share)" in result.bad[parse_day(BAD)]
    assert (
        "raw_access_logs refused (objects_readable)" in result.bad[parse_day(BAD)]
    )  # of most of its objects no row can be used
    assert f"limit 5.0%): {BAD_ROWS.truth.broken['space_separated']} bad_timestamp" in result.bad[parse_day(BAD)]
    with _instance() as instance:
        assert instance.get_run_by_id(told["run"]).status == dg.DagsterRunStatus.FAILURE
    failures = _events(told["run"], dg.DagsterEventType.STEP_FAILURE)
    assert [event.step_key for event in failures] == ["performance_entries"]  # after the good days were published
    named = failures[0].step_failure_data.user_failure_data
    assert BAD in named.description
    assert not any(day in named.description for day in GOOD)


def test_dagster_tells_of_each_good_day_once_and_of_the_bad_one_never(told: dict[str, Any]) -> None:
    """Also the test that notices should Dagster no longer honour `NO_EVENTS` of dagster_internals."""
    found = _materialized(told["run"])
    for asset in (RAW, MART, ENTRIES):
        assert [day for name, day in found if name == asset.to_user_string()] == GOOD
    assert [(name, day) for name, day in found if day not in GOOD] == []
    assert len(found) == len(set(found))


@pytest.mark.parametrize("asset", [RAW, MART, ENTRIES], ids=lambda key: key.to_user_string())
def test_the_bad_day_is_missing_in_dagster_and_the_good_ones_are_green(
    told: dict[str, Any], asset: dg.AssetKey
) -> None:
    from orchestration.partitions import daily

    with _instance() as instance:
        assert instance.get_materialized_partitions(asset) == set(GOOD)
        status = get_and_update_asset_status_cache_value(instance, asset, daily)
        assert status is not None
        assert set(status.deserialize_materialized_partition_subsets(daily).get_partition_keys()) == set(GOOD)


def test_checks_of_the_very_day_hold_the_figures(told: dict[str, Any]) -> None:
    of_bad, of_good = _checks(told["run"], RAW, BAD), _checks(told["run"], RAW, ONE)
    assert set(of_bad) == set(of_good) == {check.name for check in CHECKS}
    share = of_bad["reject_share"]
    assert (share.passed, share.blocking, share.severity) == (False, True, dg.AssetCheckSeverity.ERROR)
    assert share.metadata["rows_read"].value == BAD_ROWS.truth.rows_read
    assert share.metadata["rows_rejected"].value == BAD_ROWS.truth.rows_read - BAD_ROWS.truth.rows_kept
    assert all(check.passed for check in of_good.values() if check.blocking)
    assert _checks(told["run"], MART, BAD) == {}
    assert _checks(told["run"], MART, ONE) != {}
    assert _checks(told["run"], ENTRIES, ONE)["reconciled"].passed


def test_the_materialization_has_rows_bytes_and_seconds(told: dict[str, Any]) -> None:
    environment_rows = told["result"].materialized
    for asset in ("raw_access_logs", "daily_aggregates"):
        metadata = environment_rows[asset, parse_day(ONE)]
        assert metadata["dagster/partition_row_count"] > 0
        assert metadata["bytes"] > 0
        assert metadata["seconds"] >= 0
    raw = environment_rows["raw_access_logs", parse_day(ONE)]
    assert raw["rows_read"] == raw["rows_kept"] + raw["rows_rejected"] + raw["rows_duplicate"]
    assert raw["rows_read"] == good(ONE).truth.rows_read
    assert raw["touched_days"] == [TWO]


def test_rows_and_reasons_of_the_bad_day_can_be_read(told: dict[str, Any], shared_environment: Environment) -> None:
    rows = _query(
        shared_environment, "select day::varchar as day, count(*) as rows from quarantine.access_logs group by 1"
    )
    assert rows == [{"day": BAD, "rows": BAD_ROWS.truth.rows_kept}]
    [verdict] = _query(shared_environment, "select * from quarantine.verdicts")
    assert (verdict["table"], verdict["day"][:10]) == ("access_logs", BAD)
    said = {reason["check"]: reason["message"] for reason in verdict["reasons"]}
    assert set(said) == {"objects_readable", "reject_share"}
    assert "rows rejected" in said["reject_share"]
    seen = _query(shared_environment, "select distinct source_date::varchar as day from raw.access_logs order by 1")
    assert [row["day"] for row in seen] == GOOD
    seen = _query(
        shared_environment, "select distinct report_date::varchar as day from marts.daily_aggregates order by 1"
    )
    assert [row["day"] for row in seen] == GOOD


def test_no_sensor_publishes_what_its_run_has_published(told: dict[str, Any]) -> None:
    from orchestration.definitions import defs

    resources = {"lakehouse": defs.resources["lakehouse"]}
    with (
        _instance() as instance,
        dg.build_sensor_context(instance=instance, definitions=defs, resources=resources) as context,
    ):
        ticked = defs.resolve_sensor_def("published_marts").evaluate_tick(context)
    assert ticked.run_requests == []
    assert int(ticked.cursor) > 0


# A good day is replaced by a bad version.


@pytest.fixture(scope="module")
def replaced(told: dict[str, Any], shared_environment: Environment) -> dict[str, Any]:
    """Objects of day one come again, spoilt; its run is refused."""
    worse = bad(ONE)
    shared_environment.put(worse)
    result = shared_environment.run(ONE)
    return {"result": result, "run": _last_run(), "rows": worse}


def test_the_last_good_version_stands(
    told: dict[str, Any], replaced: dict[str, Any], shared_environment: Environment
) -> None:
    assert list(replaced["result"].bad) == days_of(ONE)
    assert _materialized(replaced["run"]) == []
    assert not _checks(replaced["run"], RAW, ONE)["reject_share"].passed
    found = {key: body for key, body in shared_environment.contents().items() if not key.startswith("quarantine/")}
    assert found == {key: body for key, body in told["files"].items() if not key.startswith("quarantine/")}
    assert shared_environment.documents() == told["documents"]
    sql = f"select sum(impressions)::bigint as seen from marts.daily_aggregates where report_date = '{ONE}'"
    truth = expected_aggregates([good(ONE).truth])
    seen = sum(measures.impressions for (day, _), measures in truth.items() if day.isoformat() == ONE)
    assert _query(shared_environment, sql) == [{"seen": seen}]


def test_a_separate_run_of_what_lies_below_does_not_see_it(
    told: dict[str, Any], replaced: dict[str, Any], shared_environment: Environment
) -> None:
    """Dagster's own blocking checks stop only the run that they are in."""
    with _instance() as instance:
        done = shared_environment.job("restate_and_publish", instance, [ONE])
    assert done.success
    assert shared_environment.contents("marts") == {k: v for k, v in told["files"].items() if k.startswith("marts/")}
    assert shared_environment.documents() == told["documents"]


def test_a_day_without_any_good_version_cannot_be_built_by_a_separate_run(
    told: dict[str, Any], shared_environment: Environment
) -> None:
    with _instance() as instance:
        done = shared_environment.job("restate_and_publish", instance, [BAD])
    assert not done.success
    assert _materialized(done.run_id) == []
    message = done.all_node_events[-1].step_failure_data.user_failure_data.description
    assert f"{BAD}: raw_access_logs has no published partition of this day to build on" in message
    assert not shared_environment.lake.exists(mart_key(BAD))


# A raw day that dbt's own tests refuse.


@pytest.fixture(scope="module")
def poisoned(told: dict[str, Any], replaced: dict[str, Any], shared_environment: Environment) -> dict[str, Any]:
    """Raw of day two is spoilt behind ingest's back; its marts are built again in one range with day one."""
    environment = shared_environment
    rows = [request("click", f"{TWO}T10:00:00", 1), request("impression", f"{TWO}T09:59:59", 2)]
    write_raw(environment.lake, TWO, TWO, spoil(rows))
    marts, documents = environment.contents("marts/daily_aggregates"), environment.documents()
    with _instance() as instance:
        done = environment.job("restate_and_publish", instance, [ONE, TWO])
    return {"run": done.run_id, "marts": marts, "documents": documents}


def test_the_window_is_halved_until_the_bad_day_stands_alone(poisoned: dict[str, Any]) -> None:
    found = _materialized(poisoned["run"])
    assert [day for name, day in found if name == "daily_aggregates"] == [ONE]
    assert [day for name, day in found if name == "performance_entries"] == [ONE, TWO]  # the last good ones stand
    assert len(found) == len(set(found))
    evaluations = _events(poisoned["run"], dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [event.event_specific_data for event in evaluations]
    assert {check.partition for check in checks if check.blocking and not check.passed} == {TWO}


def test_the_run_fails_and_names_the_day(poisoned: dict[str, Any]) -> None:
    [failure] = _events(poisoned["run"], dg.DagsterEventType.STEP_FAILURE)
    days = failure.step_failure_data.user_failure_data.metadata["days"].value
    assert set(days) == {TWO}
    assert "daily_aggregates refused (daily_aggregates_count_every_ad_request)" in days[TWO]


def test_what_dbt_refused_is_not_published_and_can_be_read(
    poisoned: dict[str, Any], shared_environment: Environment
) -> None:
    assert shared_environment.contents("marts/daily_aggregates") == poisoned["marts"]
    assert shared_environment.documents() == poisoned["documents"]
    verdicts = _query(shared_environment, "select * from quarantine.verdicts where \"table\" = 'daily_aggregates'")
    assert [verdict["day"][:10] for verdict in verdicts] == [TWO]
    assert verdicts[0]["reasons"][0]["check"] == "daily_aggregates_count_every_ad_request"
    rows = _query(shared_environment, "select day::varchar as day, clicks from quarantine.daily_aggregates")
    assert {row["day"] for row in rows} == {TWO}
