"""Field cases of vanished objects, quiet days and single sources, through the whole pipeline to MongoDB."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from ingest.days import parse_day
from ingest.partition.quarantine import refused_partitions
from orchestration.publishing.targets.campaign_entries import KIND as CAMPAIGNS
from tests.e2e.test_sensors import days, recent, tick
from tests.environment_fixtures import DAYS, Caller, Environment
from tests.event_lines import event_key, line, pixel
from tests.log_lines import lines, log
from tests.partitions import events_of

pytestmark = pytest.mark.slow
ONE, TWO, THREE = DAYS[:3]
COLLECTION = CAMPAIGNS.collection


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def put_logs(environment: Environment, day: str, name: str = "a") -> str:
    rows = lines(50, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
    key = f"E1TEST.{day}-10.{name}.gz"
    environment.put_object(key, log([row.replace(DAYS[0].encode(), day.encode(), 1) for row in rows]))
    return key


def put_visits(environment: Environment, day: str, site: str = "example.com") -> str:
    """Visits of five people by a campaign, each with a purchase, on a day."""
    seen = []
    for number in range(5):
        page = {"visitorId": f"vis_{number}", "url": f"https://{site}/?utm_source=news&utm_medium=email&utm_campaign=a"}
        seen.append(pixel(**page, eventId=f"{day}-{number}-a", timestamp=f"{day}T10:0{number}:00Z"))
        bought = {"eventType": "purchase", "properties": {"value": 10, "order_id": f"{day}-{number}"}}
        seen.append(pixel(**page, **bought, eventId=f"{day}-{number}-b", timestamp=f"{day}T10:1{number}:00Z"))
    key = event_key(site, day, "a")
    environment.put_event_object(key, b"\n".join(map(line, seen)))
    return key


def marts_of(environment: Environment, day: str) -> set[str]:
    files = environment.lake.files("marts")
    return {file.key.split("/")[1] for file in files if f"={day}/" in file.key}


OF_EVENTS = {"sessions", "fact_events", "fact_conversions", "funnels", "retention", "identities", "site_daily"}
OF_BOTH = {"attribution", "touchpoints", "ad_click_sessions", "campaign_performance", "campaign_days", "fact_sessions"}
OF_LOGS = {"daily_aggregates", "ad_touches", "campaign_trends"}


def test_e7_events_alone_are_a_whole_use(environment: Environment, call: Caller) -> None:
    for day in (ONE, TWO):
        put_visits(environment, day)
    done = call("run", "--from", ONE, "--to", TWO, logs=None)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published" in done.stdout
    assert "missing" not in done.stdout
    for day in (ONE, TWO):
        assert marts_of(environment, day) >= OF_EVENTS | OF_BOTH
        assert not marts_of(environment, day) & OF_LOGS
    assert environment.entries() == []
    assert len(environment.entries(COLLECTION)) > 0
    shown = call("status", logs=None).stdout
    assert ("raw.events" in shown, "access_logs" in shown) == (True, False)
    assert call("alerts", logs=None).returncode == 0
    now = dt.datetime.now(dt.UTC).date().isoformat()
    put_visits(environment, now)
    done = call("refresh", logs=None)
    assert (done.returncode, rows_of(environment, now, "example.com")) == (0, 10), done.stdout + done.stderr


def test_a4_commands_show_a_quiet_day_of_events(environment: Environment, call: Caller) -> None:
    for day in (ONE, THREE):
        put_visits(environment, day)
    for command in ("run", "backfill"):
        done = call(command, "--from", ONE, "--to", THREE, logs=None)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr
    assert marts_of(environment, TWO) >= OF_EVENTS | OF_BOTH


def test_e7_one_of_the_sources_must_be_set(environment: Environment, call: Caller) -> None:
    done = call("run", "--from", ONE, logs=None, events=None)
    assert (done.returncode, environment.contents()) == (2, {})
    assert "Neither CLICKLAKE_LOGS nor CLICKLAKE_EVENTS is set." in done.stderr


def test_e8_what_is_made_from_the_good_source_is_published_and_the_rest_follows(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    """Logs alone on the first day, events alone on the second; then what was lacking comes."""
    put_logs(environment, ONE)
    put_visits(environment, TWO)

    first = environment.run(ONE)
    assert first.bad[parse_day(ONE)].startswith("raw_events refused (objects_present)")
    assert marts_of(environment, ONE) == OF_LOGS
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == {ONE}

    second = environment.run(TWO)
    assert second.bad[parse_day(TWO)].startswith("raw_access_logs refused (objects_present)")
    assert marts_of(environment, TWO) >= OF_EVENTS
    assert not marts_of(environment, TWO) & (OF_LOGS | OF_BOTH)

    put_visits(environment, ONE)
    assert environment.run(ONE).bad == {}
    assert marts_of(environment, ONE) >= OF_EVENTS | OF_BOTH
    environment.put_object(f"E1TEST.{TWO}-10.a.gz", log([b"broken"] * 30))
    third = environment.run(TWO)  # refused is as absent
    assert "raw_access_logs refused (objects_readable)" in third.bad[parse_day(TWO)]
    assert marts_of(environment, TWO) >= OF_EVENTS
    put_logs(environment, TWO)
    assert environment.run(TWO).bad == {}
    assert marts_of(environment, TWO) >= OF_EVENTS | OF_BOTH | OF_LOGS
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == {ONE, TWO}
    dates = {entry["dateStart"].date().isoformat() for entry in environment.entries(COLLECTION)}
    assert dates == {ONE, TWO}


def test_e8_a_source_that_cannot_be_listed_stops_no_other(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = recent(2)
    put_logs(environment, closed)
    monkeypatch.setenv("CLICKLAKE_EVENTS", "s3://no-such-bucket-of-ours/events")
    assert days(tick("new_objects", instance)) == [closed]
    ran = environment.job("pipeline", instance, [closed])
    assert not ran.success
    assert marts_of(environment, closed) == OF_LOGS
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == {closed}
    (failure,) = [event for event in ran.all_events if event.is_step_failure and "entries" in str(event.step_key)][-1:]
    assert "no such bucket. Correct CLICKLAKE_EVENTS" in str(failure.step_failure_data.user_failure_data.description)
    monkeypatch.setenv("CLICKLAKE_LOGS", "s3://no-such-bucket-of-ours/logs")
    assert "no such bucket" in tick("new_objects", instance).skip_message


def in_quarantine(environment: Environment) -> dict[str | None, list[str]]:
    return {each.partition.site: each.checks for each in refused_partitions(environment.lake)}


def ingest(environment: Environment, instance: dg.DagsterInstance, day: str) -> bool:
    return environment.job("daily_build", instance, [day], selection=[dg.AssetKey("raw_events")]).success


def rows_of(environment: Environment, day: str, site: str) -> int:
    return len(environment.lake.read_table(events_of(day, site).raw_file(parse_day(day))))


def test_a3_a_site_whose_objects_all_vanished_is_held_back_and_released(
    environment: Environment, instance: dg.DagsterInstance, call: Caller
) -> None:
    """The other site goes on. The whole day is the same, for each of its sites."""
    gone, stays = (put_visits(environment, ONE, site) for site in ("gone.example", "stays.example"))
    assert ingest(environment, instance, ONE)
    environment.remove_events(f"site-logs/{gone}")
    assert not ingest(environment, instance, ONE)
    assert in_quarantine(environment) == {"gone.example": ["objects_kept"]}
    assert rows_of(environment, ONE, "gone.example") == 10

    environment.remove_events(f"site-logs/{stays}")
    assert not ingest(environment, instance, ONE)
    both = ["objects_present", "objects_kept"]
    assert in_quarantine(environment) == {"gone.example": both, "stays.example": both}

    put_visits(environment, ONE, "stays.example")
    put_logs(environment, ONE)
    assert not ingest(environment, instance, ONE)
    done = call("release", ONE, "--table", "events", "--site", "gone.example", "--reason", "asked for", "--no-publish")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (in_quarantine(environment), rows_of(environment, ONE, "gone.example")) == ({}, 0)
    assert ingest(environment, instance, ONE)


def test_a3_a_published_day_that_is_older_than_objects_are_kept_is_run_from_what_stands(
    environment: Environment, call: Caller
) -> None:
    put_visits(environment, ONE)
    key = put_logs(environment, ONE)
    assert environment.run(ONE).bad == {}
    before, entries = environment.rows("raw", "marts"), environment.entries()
    environment.remove(key)
    kept = {"logs_kept_days": "30", "events_kept_days": "30"}
    done = call("run", "--from", ONE, **kept)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"access_logs {ONE}: published, and not read again, for its source keeps objects for 30 days" in done.stderr
    assert (environment.rows("raw", "marts"), environment.entries()) == (before, entries)
    assert call("backfill", "--from", ONE, "--to", ONE, **kept).returncode == 0
    assert "out of date" not in call("status", **kept).stdout
    assert "warning" not in done.stderr
    late = put_logs(environment, ONE, "late")
    done = call("run", "--from", ONE, **kept)
    assert done.returncode == 0, done.stdout + done.stderr
    told = (
        "1 object came after the day was published, and will not be read, because the source keeps objects for 30 days"
    )
    assert f"warning access_logs {ONE}: {told}: {late}" in " ".join(done.stderr.split())
    shown = call("status", **kept).stdout
    assert ("out of date" in shown, told in " ".join(shown.split())) == (True, True)
    assert (environment.rows("raw", "marts"), environment.entries()) == (before, entries)
    environment.remove(late)
    assert "No alert is open" in call("alerts", **kept).stdout
    assert call("run", "--from", ONE).returncode == 1  # without the setting the day is held back
    assert environment.entries() == entries
    refused = call("release", ONE, "--table", "access_logs", "--reason", "known", **kept)
    assert (refused.returncode, "CLICKLAKE_LOGS_KEPT_DAYS" in refused.stderr) == (2, True)


def test_a4_a_day_without_objects_is_released_by_the_advice(environment: Environment, call: Caller) -> None:
    """The marts of both sources are made then, and a day that is not over is no such day."""
    put_visits(environment, ONE)
    done = call("run", "--from", ONE, "--no-publish")
    assert done.returncode == 1
    assert f"clicklake release {ONE} --table access_logs --reason" in done.stdout
    assert not marts_of(environment, ONE) & OF_BOTH
    done = call("release", ONE, "--table", "access_logs", "--reason", "no ads ran")
    assert done.returncode == 0, done.stdout + done.stderr
    assert marts_of(environment, ONE) >= OF_EVENTS | OF_BOTH | OF_LOGS
    assert environment.entries() == []
    assert len(environment.entries(COLLECTION)) > 0


def test_a4_the_sensor_has_quiet_days_built_once(environment: Environment, instance: dg.DagsterInstance) -> None:
    first, quiet, last = recent(4), recent(3), recent(2)
    for day in (first, last):
        put_logs(environment, day)
        put_visits(environment, day)
    asked = tick("new_objects", instance)
    assert days(asked) == [first, quiet, last]
    raw = [dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")]
    assert environment.job("daily_build", instance, [first, quiet, last], selection=raw).success
    assert days(tick("new_objects", instance)) == []
    put_visits(environment, quiet)
    assert days(tick("new_objects", instance)) == [quiet]
