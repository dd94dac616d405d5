"""Refused days that a person accepts: a raw day, a mart's day, a site's day; who did, and what every check said.

The first story is told in order: a day of logs is refused, and released; then its mart is.
"""

from __future__ import annotations

import getpass
import json
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from demo import event_files
from demo.browsing import SHOP
from demo.services import S3Service
from demo.traffic import expected_aggregates
from ingest.days import parse_day
from ingest.partition.audit import CHECKS
from orchestration.cli import cli
from tests.environment_fixtures import DAYS, FIRST, Caller, Environment, bad, mart_key, new_environment
from tests.integration.dbt_fixtures import request, spoil, write_raw
from tests.log_lines import line, log
from tests.partitions import days_of, logs_of

pytestmark = pytest.mark.slow

DAY = DAYS[0]
RAW = dg.AssetKey("raw_access_logs")
ADDS_UP = "daily_aggregates_count_every_ad_request"


def query(call: Caller, sql: str) -> list[dict[str, Any]]:
    done = call("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


def results(call: Caller, run_id: str, table: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(day, check) → what a run has found, in `data_quality`."""
    rows = query(call, f"from marts.data_quality where run_id = '{run_id}' and \"table\" = '{table}'")
    return {(row["day"][:10], row["check"]): row for row in rows}


def last_run() -> tuple[str, str]:
    """The last run's id, and the text that it failed with."""
    with dg.DagsterInstance.get() as instance:
        run_id = instance.get_runs(limit=1)[0].run_id
        failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    texts = [entry.get_dagster_event().step_failure_data.user_failure_data.description for entry in failures]
    return run_id, " ".join(texts)


def check_of(run_id: str, name: str, day: str) -> Any:
    with dg.DagsterInstance.get() as instance:
        entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().event_specific_data for entry in entries]
    (check,) = [each for each in found if each.check_name == name and each.partition == day]
    return check


def released(environment: Environment, table: str) -> dict[str, Any]:
    (file,) = environment.lake.files(f"releases/{table}")
    return json.loads(environment.lake.read_text(file.key))


def days_in_mongodb(environment: Environment) -> set[str]:
    return {entry["dateStart"].date().isoformat() for entry in environment.entries()}


# A raw day


@pytest.fixture(scope="module")
def refused(shared_environment: Environment) -> dict[str, Any]:
    shared_environment.put(bad(DAY))
    result = shared_environment.run(DAY)
    run_id, said = last_run()
    return {"run": run_id, "said": said, "result": result}


def test_a_refused_run_names_the_command_that_shows_and_the_one_that_releases(
    refused: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    from orchestration.cli.summary import print_summary

    assert list(refused["result"].bad) == days_of(DAY)
    print_summary(refused["result"])
    for text in (refused["said"], capfd.readouterr().out):
        assert f"clicklake quarantine show {DAY} --table access_logs" in text
        assert f"clicklake release {DAY} --table access_logs --reason '…'" in text


def test_every_result_of_a_failed_run_is_kept(refused: dict[str, Any], call: Caller) -> None:
    raw = results(call, refused["run"], "access_logs")
    share = raw[DAY, "reject_share"]
    assert (share["status"], share["severity"], share["layer"], share["step"]) == (
        "failed", "error", "raw", "raw_access_logs",
    )  # fmt: skip
    assert json.loads(share["figures"])["limit"] == 0.05
    assert "rows rejected" in share["message"]
    assert raw[DAY, "objects_present"]["status"] == "passed"
    assert {check for _, check in raw} == {check.name for check in CHECKS}
    assert results(call, refused["run"], "daily_aggregates") == {}


@pytest.fixture(scope="module")
def accepted(refused: dict[str, Any], shared_environment: Environment) -> dict[str, Any]:
    words = ["release", DAY, "--table", "access_logs", "--reason", "a load test [agreed]"]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    return {"done": done, "run": last_run()[0]}


def test_a_released_day_is_published_and_reaches_mongodb(
    accepted: dict[str, Any], shared_environment: Environment, call: Caller
) -> None:
    done = accepted["done"]
    assert (done.return_value, done.exception) == (0, None), done.output
    assert "published" in done.stdout
    assert shared_environment.lake.exists(mart_key(DAY))
    truth = expected_aggregates([bad(DAY).truth])
    seen = sum(measures.impressions for (day, _), measures in truth.items() if day.isoformat() == DAY)
    sql = f"select sum(impressions)::bigint as seen from marts.daily_aggregates where report_date = '{DAY}'"
    assert query(call, sql) == [{"seen": seen}]
    assert days_in_mongodb(shared_environment) == {DAY}
    assert shared_environment.lake.files("quarantine") == []
    assert "Nothing is in quarantine" in call("quarantine", "list").stdout


def test_who_released_what_and_why_is_kept(
    accepted: dict[str, Any], shared_environment: Environment, call: Caller
) -> None:
    record = released(shared_environment, "access_logs")
    assert (record["day"], record["released_by"], record["reason"]) == (DAY, getpass.getuser(), "a load test [agreed]")
    check = next(each for each in record["checks"] if each["check"] == "reject_share")
    assert {each["check"] for each in record["checks"]} == {"objects_readable", "reject_share"}
    assert (check["check"], check["figures"]["rows_read"]) == ("reject_share", bad(DAY).truth.rows_read)
    said = f"released by {getpass.getuser()}: a load test [agreed]"
    evaluated = check_of(accepted["run"], "reject_share", DAY)
    assert (evaluated.passed, evaluated.blocking, evaluated.severity) == (False, False, dg.AssetCheckSeverity.WARN)
    assert evaluated.description.startswith(said)
    row = results(call, accepted["run"], "access_logs")[DAY, "reject_share"]
    assert (row["status"], row["severity"]) == ("released", "error")
    assert row["message"].startswith(said)


def test_tests_of_marts_and_what_was_read_back_from_mongodb_are_kept_too(
    accepted: dict[str, Any], call: Caller
) -> None:
    row = results(call, accepted["run"], "daily_aggregates")[DAY, ADDS_UP]
    assert (row["status"], row["failures"], row["layer"], row["step"]) == ("passed", 0, "marts", "dbt_models")
    assert row["seconds"] > 0
    entries = results(call, accepted["run"], "performance_entries")
    assert (entries[DAY, "reconciled"]["status"], entries[DAY, "reconciled"]["layer"]) == ("passed", "publishing")
    mapped = entries[DAY, "publications_mapped"]
    assert (mapped["status"], mapped["severity"], json.loads(mapped["figures"])) == (
        "warned", "warn", {"codes": ["partner-feed-7"]},
    )  # fmt: skip


def test_what_is_not_in_quarantine_cannot_be_released(accepted: dict[str, Any], call: Caller) -> None:
    later = "2999-01-13"
    done = call("release", later, "--table", "access_logs", "--reason", "why")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Nothing of access_logs {later} is in quarantine" in done.stderr


def test_a_release_holds_until_an_object_changes(
    accepted: dict[str, Any], shared_environment: Environment, instance: dg.DagsterInstance
) -> None:
    assert shared_environment.job("daily_build", instance, [DAY], [RAW]).success
    raw = shared_environment.contents("raw")
    shared_environment.put_object(f"E1TEST.{DAY}-23.late.gz", log([line(id="late", date=DAY)]))
    assert not shared_environment.job("daily_build", instance, [DAY], [RAW]).success
    (verdict,) = [file.key for file in shared_environment.lake.files("quarantine") if "verdict" in file.key]
    assert "a release of other versions of the objects is there" in shared_environment.lake.read_text(verdict)
    assert shared_environment.contents("raw") == raw
    shared_environment.lake.delete("quarantine")


# A mart's day


@pytest.fixture(scope="module")
def refused_mart(accepted: dict[str, Any], shared_environment: Environment) -> str:
    """Raw of the day is spoilt behind ingest's back, so that dbt's own test refuses its mart."""
    rows = [request("click", f"{DAY}T10:00:00", 1), request("impression", f"{DAY}T09:59:59", 2)]
    write_raw(shared_environment.lake, DAY, DAY, spoil(rows))
    with dg.DagsterInstance.get() as instance:
        done = shared_environment.job("restate_and_publish", instance, [DAY])
    assert not done.success
    return done.run_id


def test_a_released_mart_is_published_from_raw_as_it_stands(
    refused_mart: str, shared_environment: Environment, call: Caller
) -> None:
    before = shared_environment.contents("marts/daily_aggregates")
    row = results(call, refused_mart, "daily_aggregates")[DAY, ADDS_UP]
    assert (row["status"], row["failures"]) == ("failed", 1)
    spoilt = shared_environment.contents(logs_of(DAY).raw_file(parse_day(DAY)).rpartition("/")[0])

    done = call("release", DAY, "--table", "daily_aggregates", "--reason", "counted twice, known")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "released by" in done.stderr
    assert "refused" not in done.stdout
    assert shared_environment.contents(logs_of(DAY).raw_file(parse_day(DAY)).rpartition("/")[0]) == spoilt
    changed = shared_environment.contents("marts/daily_aggregates")
    assert [key for key in changed if changed[key] != before[key]] == [mart_key(DAY)]
    entries = [entry for entry in shared_environment.entries() if DAY in str(entry["dateStart"])]
    sql = f"select sum(clicks)::bigint as clicks from marts.daily_aggregates where report_date = '{DAY}'"
    assert query(call, sql) == [{"clicks": sum(entry["metrics"]["clicks"] for entry in entries)}]
    assert shared_environment.lake.files("quarantine") == []
    record = released(shared_environment, "daily_aggregates")
    assert [(each["check"], each["failures"]) for each in record["checks"]] == [(ADDS_UP, 1)]
    run_id, _ = last_run()
    row = results(call, run_id, "daily_aggregates")[DAY, ADDS_UP]
    assert (row["status"], row["failures"], row["severity"]) == ("released", 1, "error")
    assert f"released by {getpass.getuser()}: counted twice, known" in row["message"]
    evaluated = check_of(run_id, ADDS_UP, DAY)
    assert (evaluated.passed, evaluated.blocking) == (False, False)


# A site's day


def test_a_released_site_is_published_and_its_sessions_are_built(
    tmp_path: Path,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
    instance: dg.DagsterInstance,
    call: Caller,
) -> None:
    """Its logs were not delivered, and stay missing: a release is of nothing else."""
    folder = tmp_path / "sites"
    with new_environment(folder, s3_client, s3_service, embedded_mongodb_url, has_events=True) as environment:
        days = event_files.generate_days(
            FIRST, 1, scale=event_files.LEAST_SCALE, bad=(SHOP.domain, date.fromisoformat(DAY))
        )
        environment.put_events(*days)
        environment.job("daily_build", instance, [DAY], [dg.AssetKey("raw_events")])
        (entry,) = [json.loads(row) for row in call("quarantine", "list", "--json").stdout.splitlines()]
        assert (entry["table"], entry["site"], entry["checks"]) == ("events", SHOP.domain, ["reject_share"])

        done = call("release", DAY, "--table", "events", "--site", SHOP.domain.upper(), "--reason", "known fault")

        assert done.returncode == 1
        assert f"{DAY} raw_access_logs refused (objects_present)" in done.stdout
        assert call("quarantine", "list", "--json").stdout == ""  # what was not delivered leaves nothing to look at
        sessions = query(call, f"select count(*) as sessions from marts.sessions where site_id = '{SHOP.domain}'")
        assert sessions[0]["sessions"] > 0
        record = released(environment, "events")
        assert (record["site"], record["reason"], record["day"]) == (SHOP.domain, "known fault", DAY)
        rows = query(call, "select site, status from marts.data_quality where \"check\" = 'reject_share' order by all")
        assert {(row["site"], row["status"]) for row in rows} >= {(SHOP.domain, "failed"), (SHOP.domain, "released")}
        not_run = query(call, "select count(*) as n from marts.data_quality where status = 'not_run'")
        assert not_run == [{"n": 0}]
