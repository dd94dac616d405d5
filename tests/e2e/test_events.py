"""Events become sessions: one story of three days on four sites, told in order; then the sensors.

The first day is good; on the second the shop is bad, then mended; the third brings late events of the first.
One site, `mixed.example`, has all four shapes: it gets what the three others get.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from demo import event_files
from demo.browsing import SHOP, SITES
from demo.event_files import EventDay, Kept, Session, Truth, expected_sessions
from ingest.rows.privacy import keyed_hash
from tests.e2e.test_sensors import days, recent, tick
from tests.environment_fixtures import DAYS, FIRST, HASH_KEY, Environment, good
from tests.event_lines import event_key, line, pixel
from tests.partitions import events_of

pytestmark = pytest.mark.slow

ONE, TWO, THREE = DAYS[:3]
MIXED = "mixed.example"
RAW_EVENTS = dg.AssetKey("raw_events")
LATE_VISITOR = "vis_late_reader"
REASONS = {
    "broken_json": "bad_json",
    "no_object": "unknown_shape",
    "unknown_shape": "unknown_shape",
    "wrong_type": "schema",
    "bad_timestamp": "bad_timestamp",
    "future": "in_future",
    "too_old": "too_old",
    event_files.CUT_LINE: "bad_json",
}


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


# What is put, and the truth about it


def generated(bad: bool = False) -> list[EventDay]:
    return event_files.generate_days(
        FIRST, 3, scale=event_files.LEAST_SCALE, bad=(SHOP.domain, date.fromisoformat(TWO)) if bad else None
    )


GOOD = generated()
BAD_TWO = generated(bad=True)[1]


def with_mixed(day: EventDay) -> EventDay:
    """The day with one more site, which gets all objects of the others under names that do not collide."""
    objects = dict(day.objects)
    for key, body in day.objects.items():
        site = next(site for site in SITES if f"domain={site.domain}/" in key)
        name = key.replace(f"domain={site.domain}/", f"domain={MIXED}/")
        objects[name.replace(".jsonl", f".{site.shape}.jsonl")] = body
    return replace(day, objects=objects)


def of_shop(day: EventDay) -> dict[str, bytes]:
    return {key: body for key, body in day.objects.items() if f"domain={SHOP.domain}/" in key}


def truth_of(source: int, site: str, day: EventDay | None = None) -> Truth:
    """The truth of a site's source day; that of the mixed site is that of all others together."""
    truths = (day or GOOD[source]).truths
    if site != MIXED:
        return truths[site]
    return Truth(
        site=MIXED,
        day=GOOD[source].day,
        objects=sum(each.objects for each in truths.values()),
        lines=sum(each.lines for each in truths.values()),
        events=sum(each.events for each in truths.values()),
        duplicates=sum(each.duplicates for each in truths.values()),
        rejects=dict(sum((Counter(each.rejects) for each in truths.values()), Counter[str]())),
        kept=tuple(event._replace(site=MIXED) for each in truths.values() for event in each.kept),
    )


ALL_SITES = (*(site.domain for site in SITES), MIXED)
BEFORE_MENDING = [truth_of(0, site) for site in ALL_SITES] + [
    truth_of(1, site) for site in ALL_SITES if site != SHOP.domain
]
MENDED = [truth_of(source, site) for source in (0, 1) for site in ALL_SITES]
LATE = (datetime(2026, 1, 12, 9), datetime(2026, 1, 12, 9, 20))
LATE_TRUTH = Truth(
    site=SHOP.domain,
    day=date.fromisoformat(THREE),
    kept=tuple(
        Kept(
            SHOP.domain,
            f"late {n}",
            f"visitor:{LATE_VISITOR}",
            "page_view",
            int(at.replace(tzinfo=UTC).timestamp() * 1000),
        )
        for n, at in enumerate(LATE)
    ),
)
WITH_LATE = [truth_of(source, site) for source in (0, 1, 2) for site in ALL_SITES] + [LATE_TRUTH]

# Site, day, visitor where the name tells, and all of the visitor's sessions of the day
Visits = Counter[tuple[str, str, str, tuple[tuple[int, int, int], ...]]]


def visits(sessions: Iterable[Session]) -> Visits:
    """Sessions by visitor. A name that the pipeline makes itself, of a browser or an event, is left to it."""
    found: dict[tuple[str, str, str], list[tuple[int, int, int]]] = {}
    for each in sessions:
        found.setdefault((each.site, each.day.isoformat(), each.visitor), []).append(
            (each.start, each.end, each.events)
        )
    return Counter(
        (site, day, _comparable(visitor), tuple(sorted(times))) for (site, day, visitor), times in found.items()
    )


def _comparable(visitor: str) -> str:
    kind, _, name = visitor.partition(":")
    if kind == "user" and "@" in name:
        return f"user:{keyed_hash(HASH_KEY)(name)}"
    return f"{kind}:" if kind in ("fingerprint", "event") else visitor


def expected(truths: Iterable[Truth], *wanted: str) -> Visits:
    return visits(session for session in expected_sessions(truths) if session.day.isoformat() in wanted)


def published(environment: Environment) -> Visits:
    """What `clicklake query` shows."""
    return visits(
        Session(row["site_id"], row["visitor_key"], row["first"], row["last"], row["events"])
        for row in query(
            environment,
            "select site_id, visitor_key, epoch_ms(session_start) as first, epoch_ms(session_end) as last, events "
            "from marts.sessions",
        )
    )


def query(environment: Environment, sql: str) -> list[dict[str, Any]]:
    done = environment.command("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


Ran = subprocess.CompletedProcess[str]


# Two days, the shop's second one bad


@pytest.fixture(scope="module")
def told(shared_environment: Environment) -> Ran:
    shared_environment.put(good(ONE), good(TWO), good(THREE))
    bad_two = with_mixed(GOOD[1])  # in the mixed site all lines are good
    others = {key: body for key, body in bad_two.objects.items() if key not in of_shop(GOOD[1])}
    shared_environment.put_events(with_mixed(GOOD[0]), replace(bad_two, objects=others | of_shop(BAD_TWO)))
    return shared_environment.command("run", "--from", ONE, "--to", TWO)


def test_sessions_of_all_shapes_are_the_true_ones(told: Ran, shared_environment: Environment) -> None:
    truth = expected(BEFORE_MENDING, ONE, TWO)
    assert {site for site, day, *_ in truth if day == TWO} == {*ALL_SITES} - {SHOP.domain}
    assert {kind.partition(":")[0] for _, _, kind, _ in truth if _} >= {"visitor", "device", "user", "fingerprint"}
    assert published(shared_environment) == truth
    shapes = query(shared_environment, "select site_id, list_sort(list(distinct shape)) s from raw.events group by 1")
    assert {row["site_id"]: len(row["s"]) for row in shapes} == dict(zip(ALL_SITES, (1, 1, 2, 4), strict=True))


def test_every_event_is_kept_or_a_duplicate_or_a_reject_with_its_reason(
    told: Ran, shared_environment: Environment
) -> None:
    found = query(
        shared_environment,
        "select source_date::varchar as day, site, sum(rows_read)::bigint as read, sum(rows_kept)::bigint as kept, "
        "sum(rows_duplicate)::bigint as duplicates, count(*) as objects from ledger.events group by all",
    )
    counts = {(row["day"], row["site"]): (row["objects"], row["read"], row["kept"], row["duplicates"]) for row in found}
    assert counts == {
        (truth.day.isoformat(), truth.site): (
            truth.objects,
            truth.events + sum(truth.rejects.values()),
            len(truth.kept),
            truth.duplicates,
        )
        for truth in BEFORE_MENDING
    }
    rejects = query(
        shared_environment,
        "select source_date::varchar as day, site, reason, count(*) as n from rejects.events group by all",
    )
    assert {(row["day"], row["site"], row["reason"]): row["n"] for row in rejects} == {
        (truth.day.isoformat(), truth.site, reason): number
        for truth in BEFORE_MENDING
        for reason, number in by_reason(truth).items()
    }


def by_reason(truth: Truth) -> Mapping[str, int]:
    found = Counter[str]()
    for kind, number in truth.rejects.items():
        found[REASONS[kind]] += number
    return found


def test_the_bad_site_is_named_and_its_rows_are_in_quarantine(told: Ran, shared_environment: Environment) -> None:
    truth = BAD_TWO.truths[SHOP.domain]
    rejected = sum(truth.rejects.values())
    assert told.returncode == 1, told.stderr
    figures = f"{rejected} of {truth.events + rejected} rows"
    said = rf"^{TWO} raw_events refused \(reject_share\): {re.escape(SHOP.domain)}: {figures}"
    assert re.search(said, told.stdout, re.MULTILINE), told.stdout
    assert not re.search(rf"^{ONE} raw_events", told.stdout, re.MULTILINE)
    assert "2 days: 1 partly refused (the rest is published), 1 published" in told.stderr
    assert "Traceback" not in told.stdout + told.stderr

    rows = query(
        shared_environment,
        "select day::varchar as day, site_id, count(*) as n from quarantine.events group by all",
    )
    assert rows == [{"day": TWO, "site_id": SHOP.domain, "n": len(truth.kept)}]
    [verdict] = query(shared_environment, "select * from quarantine.verdicts")
    assert (verdict["table"], verdict["day"][:10], verdict["site"]) == ("events", TWO, SHOP.domain)
    assert verdict["reasons"][0]["check"] == "reject_share"

    shown = shared_environment.command("status", "--from", ONE, "--to", TWO)
    assert re.search(rf"│ {ONE} (?!.*refused)", shown.stdout), shown.stdout
    assert re.search(rf"│ {TWO} .* partly refused ", shown.stdout), shown.stdout
    assert re.search(rf"^{TWO} events {re.escape(SHOP.domain)}: reject_share: ", shown.stdout, re.MULTILINE)


# The shop's objects are mended


@pytest.fixture(scope="module")
def mended(told: Ran, shared_environment: Environment) -> Ran:
    shared_environment.remove_events(*of_shop(BAD_TWO))
    shared_environment.put_events(replace(GOOD[1], objects=of_shop(GOOD[1])))
    return shared_environment.command("run", "--from", TWO, "--site", SHOP.domain)


@pytest.mark.long
def test_a_mended_site_is_published_and_changes_the_evening_before(
    mended: Ran, shared_environment: Environment
) -> None:
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert published(shared_environment) == expected(MENDED, ONE, TWO)
    assert expected(MENDED, ONE) != expected(BEFORE_MENDING, ONE)  # somebody was in the shop at midnight
    assert shared_environment.lake.files("quarantine") == []
    shown = shared_environment.command("status", "--from", TWO, "--to", TWO)
    assert "refused" not in shown.stdout


# The third day brings late events of the first


@pytest.fixture(scope="module")
def late(mended: Ran, shared_environment: Environment) -> Ran:
    lines = [
        line(
            {
                "event_type": "page_view",
                "page_url": "https://shop.example.com/",
                "visitor_id": LATE_VISITOR,
                "event_id": f"evt_late_{n}",
                "timestamp": f"{at.isoformat()}Z",
            }
        )
        for n, at in enumerate(LATE)
    ]
    shared_environment.put_events(with_mixed(GOOD[2]))
    shared_environment.put_event_object(event_key(SHOP.domain, THREE, "late"), b"\n".join(lines))
    return shared_environment.command("run", "--from", THREE)


@pytest.mark.long
def test_late_events_restate_the_sessions_of_their_day(late: Ran, shared_environment: Environment) -> None:
    assert late.returncode == 0, late.stdout + late.stderr
    assert f"Late rows for {ONE}, {TWO}" in late.stderr
    found = published(shared_environment)
    assert [key[1] for key in found if key[2] == f"visitor:{LATE_VISITOR}"] == [ONE]
    assert found == expected(WITH_LATE, ONE, TWO, THREE)


# Sensors


def put_line(environment: Environment, day: str, name: str, site: str = "a.example", at: str = "") -> None:
    event = pixel(eventId=name, timestamp=f"{at or day}T10:00:00Z")
    environment.put_event_object(event_key(site, day, name), line(event))


def take_in(environment: Environment, instance: dg.DagsterInstance, day: str, **tags: str) -> None:
    assert environment.job("daily_build", instance, [day], selection=[RAW_EVENTS], tags=tags).success


def test_an_event_object_requests_its_day_and_no_other(environment: Environment, instance: dg.DagsterInstance) -> None:
    older, newer = recent(3), recent(2)
    for day in (older, newer):
        for site in ("a.example", "b.example"):
            put_line(environment, day, "first", site)
    assert days(tick("new_objects", instance)) == [older, newer]
    for day in (older, newer):
        take_in(environment, instance, day)
    assert environment.lake.exists(events_of(newer, "b.example").ledger_file)

    again = tick("new_objects", instance)
    assert days(again) == []
    assert "the ledger knows all objects" in again.skip_message

    put_line(environment, older, "late", "b.example")
    assert days(tick("new_objects", instance)) == [older]
    take_in(environment, instance, older)
    assert days(tick("new_objects", instance)) == []

    put_line(environment, newer, "new site", "c.example")
    assert days(tick("new_objects", instance)) == [newer]


def test_late_events_request_the_day_that_they_happened_on(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    first, second, third = DAYS[:3]
    put_line(environment, first, "in time")
    put_line(environment, second, "late", at=first)
    put_line(environment, third, "later", at=second)
    take_in(environment, instance, second)
    ticked = tick("late_rows", instance)
    assert days(ticked) == []  # nobody has built the first day yet, and a run that does finds the row

    take_in(environment, instance, first)
    ticked = tick("late_rows", instance, ticked.cursor)
    assert days(ticked) == []

    take_in(environment, instance, second)
    ticked, cursor = tick("late_rows", instance, ticked.cursor), ticked.cursor
    assert days(ticked) == [first]
    assert tick("late_rows", instance, cursor).run_requests[0].run_key == ticked.run_requests[0].run_key
    assert days(tick("late_rows", instance, ticked.cursor)) == []

    take_in(environment, instance, third)
    assert days(tick("late_rows", instance, ticked.cursor)) == [second]
