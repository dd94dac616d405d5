"""Sessions over real raw files: any order of days, late events, and days that are not there."""

from __future__ import annotations

import random
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.lake.files import Lake
from tests.integration.dbt_fixtures import build, build_each, event, report, request, write_events, write_raw

DAYS = ("2026-01-12", "2026-01-13", "2026-01-14")
BEFORE, AFTER = "2026-01-11", "2026-01-15"
MODELS = {
    "transactions": "event_date",
    "sessions": "session_date",
    "site_daily": "report_date",
    "site_daily_by": "report_date",
}
SELECTED = ("--select", *(f"+{model}" for model in MODELS))


def events_of(day: str) -> list[dict[str, Any]]:
    """A visitor who comes each day, one who never pauses, one at night, one without any id, and a robot."""
    never_pausing = [
        event("scroll", f"{day}T{minute // 60:02}:{minute % 60:02}:00", 100 + minute, visitor_id="endless")
        for minute in range(0, 24 * 60, 30)
    ]
    return [
        event("page_view", f"{day}T10:00:00", 1, referrer_host="search.example"),
        event("purchase", f"{day}T10:30:00", 2, path="/cart", revenue=Decimal("9.90"), currency="USD"),
        event("page_view", f"{day}T11:00:01", 3, path="/again"),
        event("page_view", f"{day}T00:05:00", 4, visitor_id="night"),
        event("page_view", f"{day}T23:55:00", 5, visitor_id="night", path="/late"),
        event("page_view", f"{day}T12:00:00", 6, visitor_id=None),
        event("page_view", f"{day}T12:00:01", 7, visitor_id=None),
        event("page_view", f"{day}T12:00:00", 8, visitor_id="robot", is_bot=True, country=None),
        *never_pausing,
    ]


def raw_lake(folder: Path) -> Lake:
    lake = Lake(str(folder))
    for day in (BEFORE, *DAYS, AFTER):
        write_events(lake, day, day, events_of(day))
    return lake


def published(lake: Lake) -> dict[tuple[str, str], bytes]:
    """The bytes of every published day."""
    return {
        (model, day): Path(lake.path(f"marts/{model}/{column}={day}/data.parquet")).read_bytes()
        for model, column in MODELS.items()
        for day in DAYS
    }


def sessions(lake: Lake, day: str) -> list[dict[str, Any]]:
    return lake.read_table(f"marts/sessions/session_date={day}/data.parquet").to_pylist()


def of_visitor(lake: Lake, day: str, visitor: str) -> list[dict[str, Any]]:
    return [session for session in sessions(lake, day) if session["visitor_id"] == visitor]


def site_daily(lake: Lake, day: str) -> dict[str, Any]:
    rows = lake.read_table(f"marts/site_daily/report_date={day}/data.parquet").to_pylist()
    return next(row for row in rows if not row["is_bot"])


@pytest.fixture(scope="module")
def range_lake(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Lake:
    """Three days published by one run."""
    lake = raw_lake(tmp_path_factory.mktemp("range"))
    done = build(lake, target, DAYS[0], AFTER, *SELECTED)
    assert done.returncode == 0, done.stdout
    assert {key: entry["status"] for key, entry in report(target).items()} == {
        (model, day): "published" for model in MODELS for day in DAYS
    }
    return lake


def test_sessions_of_a_day(range_lake: Lake) -> None:
    first, second = of_visitor(range_lake, DAYS[1], "visitor")
    assert first["events"] == 2
    assert first["duration_seconds"] == 1800
    assert (first["revenue"], first["currency"]) == (Decimal("9.9000"), "USD")
    assert second["entry_page"] == "/again"
    assert (first["session_sequence"], second["session_sequence"]) == (3, 4)

    # Begun before midnight, it goes on after it, and is there once.
    (night,) = of_visitor(range_lake, DAYS[1], "night")
    assert (night["events"], night["entry_page"], night["exit_page"]) == (2, "/late", "/")

    # Whoever never pauses has a session a day, and loses no event.
    (endless,) = of_visitor(range_lake, DAYS[1], "endless")
    assert (endless["events"], str(endless["session_start"])) == (48, f"{DAYS[1]} 00:00:00")

    without_id = [session for session in sessions(range_lake, DAYS[1]) if session["visitor_id"] is None]
    assert [session["events"] for session in without_id] == [1, 1]


def test_site_daily_of_a_day(range_lake: Lake) -> None:
    day = site_daily(range_lake, DAYS[1])
    # The visitor twice, at night, endlessly, and two without an id. New are these two, and the endless one: what they
    # did on the first day belongs to a session of the day before, which is not published.
    assert (day["sessions"], day["visitors"], day["new_visitors"]) == (6, 5, 3)
    assert (day["dau"], day["wau"], day["mau"]) == (5, 7, 7)
    assert day["revenue"] == Decimal("9.9000")


@pytest.mark.parametrize(
    "order", [pytest.param(DAYS, marks=pytest.mark.long), tuple(reversed(DAYS))], ids=["in order", "reversed"]
)
def test_days_in_any_order_give_what_a_range_gives(
    range_lake: Lake, target: Path, tmp_path: Path, order: tuple[str, ...]
) -> None:
    lake = raw_lake(tmp_path)
    after = {DAYS[0]: DAYS[1], DAYS[1]: DAYS[2], DAYS[2]: AFTER}
    build_each(lake, target, [(day, after[day]) for day in order], *SELECTED)
    one_by_one, in_a_range = published(lake), published(range_lake)
    assert [key for key in in_a_range if one_by_one[key] != in_a_range[key]] == []


def client_events(rng: random.Random) -> dict[str, list[dict[str, Any]]]:
    """Days of a few session ids: without any visitor, with a login or a consent in the middle, shared by two visitors,
    and back after a day or two."""
    visitors = ({"visitor_id": None}, {"visitor_id": None, "user_id": "u"}, {"visitor_id": "a"}, {"visitor_id": "b"})
    return {
        day: [
            event(
                rng.choice(("page_view", "purchase")),
                f"{day}T{rng.choice((0, 1, 9, 10, 22, 23)):02}:{rng.randrange(60):02}:00",
                number,
                client_session_id=rng.choice(("S1", "S2", "S3", "S4", None)),
                **rng.choice(visitors),
            )
            for number in range(15)
        ]
        for day in (BEFORE, *DAYS, AFTER)
    }


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))])
def test_client_sessions_in_any_order_of_days_are_what_a_range_gives(target: Path, tmp_path: Path, seed: int) -> None:
    events = client_events(random.Random(seed))
    lakes = [Lake(str(tmp_path / name)) for name in ("range", "one by one")]
    for lake in lakes:
        lake.put_text("variables:\n  session_by: client\n", "rules/rules.yml")
        for day, rows in events.items():
            write_events(lake, day, day, rows)
    assert build(lakes[0], target, DAYS[0], AFTER, *SELECTED).returncode == 0
    after = {DAYS[0]: DAYS[1], DAYS[1]: DAYS[2], DAYS[2]: AFTER}
    build_each(lakes[1], target, [(day, after[day]) for day in reversed(DAYS)], *SELECTED)
    in_a_range, one_by_one = map(published, lakes)
    assert [key for key in in_a_range if one_by_one[key] != in_a_range[key]] == []
    # Visitors who share an id have sessions of their own.
    rows = [row for day in DAYS for row in sessions(lakes[0], day)]
    assert len({row["session_id"] for row in rows}) == len(rows)
    assert {row["visitor_key"] for row in rows} >= {"visitor:a", "visitor:b"}


def test_a_late_event_restates_the_days_that_it_changes(range_lake: Lake, target: Path, tmp_path: Path) -> None:
    """An event between two sessions makes them one, over midnight, and all later ones have another number."""
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    day, next_day = DAYS[0], DAYS[1]
    near_midnight = [
        event("page_view", f"{day}T23:30:00", 900, visitor_id="late"),
        event("page_view", f"{next_day}T00:10:00", 901, visitor_id="late"),
        event("page_view", f"{DAYS[2]}T12:00:00", 902, visitor_id="late"),
    ]
    for date, more in zip(DAYS, near_midnight, strict=True):
        write_events(lake, date, date, [*events_of(date), more])
    assert build(lake, target, day, AFTER, *SELECTED).returncode == 0
    apart = {date: of_visitor(lake, date, "late") for date in DAYS}
    assert [[session["session_sequence"] for session in apart[date]] for date in DAYS] == [[1], [2], [3]]
    sessions_before = site_daily(lake, next_day)["sessions"]

    # It happened at the end of the first day, and was received with the last one.
    write_events(lake, day, DAYS[2], [event("scroll", f"{day}T23:50:00", 903, visitor_id="late")])
    done = build(lake, target, day, next_day, *SELECTED)

    assert done.returncode == 0, done.stdout
    assert {date for _, date in report(target)} == set(DAYS)
    assert {entry["status"] for entry in report(target).values()} == {"published"}
    (joined,) = of_visitor(lake, day, "late")
    assert (joined["events"], joined["duration_seconds"]) == (3, 2400)
    assert joined["session_id"] == apart[day][0]["session_id"]
    assert of_visitor(lake, next_day, "late") == []
    assert [session["session_sequence"] for session in of_visitor(lake, DAYS[2], "late")] == [2]
    assert site_daily(lake, next_day)["sessions"] == sessions_before - 1


def test_a_day_without_events_stops_no_other_mart_and_no_other_day(
    range_lake: Lake, target: Path, tmp_path: Path
) -> None:
    lake = raw_lake(tmp_path)
    lake.delete(f"raw/events/event_date={DAYS[1]}")
    # What another source day brought of it is no day.
    write_events(lake, DAYS[1], DAYS[2], [event("page_view", f"{DAYS[1]}T10:00:00", 1)])
    for day in DAYS[:2]:
        write_raw(lake, day, day, [request("impression", f"{day}T10:00:00", 1)])

    done = build(lake, target, DAYS[0], AFTER, *SELECTED, "+ad_click_sessions", "+daily_aggregates")

    assert done.returncode == 0, done.stdout
    entries = report(target)
    assert {model for model, _ in entries} == {*MODELS, "ad_click_sessions", "daily_aggregates"}
    status = {key: entry["status"] for key, entry in entries.items()}
    for model in MODELS:
        assert [status[model, day] for day in DAYS] == ["published", "absent", "published"]
        (reason,) = entries[model, DAYS[1]]["reasons"]
        assert reason["message"] == f"raw events has nothing published of source date {DAYS[1]}"
        assert not lake.exists(f"marts/{model}/{MODELS[model]}={DAYS[1]}/data.parquet")
    assert [status["daily_aggregates", day] for day in DAYS] == ["published", "published", "absent"]
    # Nothing of the missing day is counted in another: the third day knows as many visitors as the second would.
    assert site_daily(lake, DAYS[2])["mau"] == site_daily(range_lake, DAYS[1])["mau"]


def test_a_published_day_whose_raw_files_are_gone_stays(range_lake: Lake, target: Path, tmp_path: Path) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    lake.delete(f"raw/events/event_date={DAYS[0]}")
    before = published(lake)

    done = build(lake, target, DAYS[1], DAYS[2], *SELECTED)

    assert done.returncode == 0, done.stdout
    assert {day for _, day in report(target)} == {DAYS[1], DAYS[2]}
    assert {key: content for key, content in published(lake).items() if key[1] == DAYS[0]} == {
        key: content for key, content in before.items() if key[1] == DAYS[0]
    }
