"""Days and sites of which the source has no object: what is said of them, and what stays in quarantine."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from ingest.partition.quarantine import refused_partitions
from tests.environment_fixtures import DAYS, EVENTS_PREFIX, Caller, Environment, put_small_day
from tests.event_lines import event_key, line, pixel
from tests.partitions import events_of

pytestmark = pytest.mark.slow

BEFORE, DAY, AFTER = DAYS[:3]
RAW_EVENTS = dg.AssetKey("raw_events")
BAD, GONE = "bad.example", "gone.example"


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def ingest(environment: Environment, instance: dg.DagsterInstance) -> bool:
    return environment.job("daily_build", instance, [DAY], selection=[RAW_EVENTS]).success


def put(environment: Environment, site: str, good: bool) -> str:
    key = event_key(site, DAY, "a")
    rows = [line(pixel(visitorId=f"v{n}", timestamp=f"{DAY}T10:00:00.000Z")) for n in range(9)]
    environment.put_event_object(key, b"\n".join(rows if good else [b"{broken"] * 9))
    return f"{EVENTS_PREFIX}/{key}"


def in_quarantine(environment: Environment) -> list[tuple[str, str | None]]:
    return [(each.partition.table, each.partition.site) for each in refused_partitions(environment.lake)]


def test_a_site_whose_bad_object_is_taken_away_is_refused_no_longer(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    """One that was published is refused for its vanished objects, for its last good version is still read."""
    put(environment, "good.example", good=True)
    standing = put(environment, GONE, good=True)
    bad = put(environment, BAD, good=False)
    ingest(environment, instance)
    put(environment, GONE, good=False)
    assert not ingest(environment, instance)
    assert in_quarantine(environment) == [("events", BAD), ("events", GONE)]

    environment.remove_events(bad, standing)
    assert not ingest(environment, instance)
    assert in_quarantine(environment) == [("events", GONE)]


def test_a_refusal_of_the_day_as_one_without_events_ends_when_they_come(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    """Of the whole day one is left by earlier versions, and of a published day whose objects were all taken away."""
    verdict = {"table": "events", "day": DAY, "reasons": [{"check": "objects_present", "message": "none"}]}
    environment.lake.put_text(json.dumps(verdict), f"{events_of(DAY).quarantine}/verdict.json")
    put(environment, "good.example", good=True)
    put(environment, BAD, good=False)
    ingest(environment, instance)
    assert in_quarantine(environment) == [("events", BAD)]


def test_a_site_that_the_source_does_not_know_is_wrong_usage(environment: Environment, call: Caller) -> None:
    put(environment, "good.example", good=True)
    done = call("run", "--from", DAY, "--site", "nosuch.example")
    assert (done.returncode, environment.contents()) == (2, {}), done.stderr
    assert f"{DAY}: the source has no object of site nosuch.example. There are objects of good.example." in done.stderr
    done = call("run", "--from", AFTER, "--site", "good.example")
    assert f"{AFTER}: the source has no object of site good.example. There are no events at all." in done.stderr


def test_days_without_objects_are_missing_and_leave_no_refusal(environment: Environment, call: Caller) -> None:
    """A range that begins a day early, and ends with a day of logs alone."""
    put_small_day(environment, DAY)
    put_small_day(environment, AFTER, has_events=False)
    done = call("backfill", "--from", BEFORE, "--to", AFTER, "--no-publish")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{BEFORE} raw_access_logs refused (objects_present): the source has no object of this day." in done.stdout
    assert f"{AFTER} raw_events refused (objects_present): the source has no object of this day." in done.stdout
    assert "3 days: 1 missing, 1 partly missing (the rest is published), 1 published" in done.stderr
    assert "--refused" not in done.stderr
    assert in_quarantine(environment) == []
    assert "No alert is open" in call("alerts").stdout
