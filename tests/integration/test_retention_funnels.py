"""Retention and funnels of made-up days, against plain Python, and in any order of days."""

from __future__ import annotations

import csv
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from ingest.lake.files import Lake
from tests.integration.dbt_fixtures import PROJECT, build, build_each, event, mart, mart_key, write_events

pytestmark = pytest.mark.slow

# A Saturday to Monday, so that a week ends between them, and the Sunday of the next week; no files lie between.
DAYS = ("2026-01-10", "2026-01-11", "2026-01-12", "2026-01-18")
AFTER = "2026-01-19"
WINDOWS = ((DAYS[0], DAYS[1]), (DAYS[1], DAYS[2]), (DAYS[2], AFTER))
MODELS = ("retention", "funnels", "identities")
SELECTED = ("--select", *(f"+{model}" for model in MODELS))

SITES = ("shop.example", "app.example")
PAUSE = timedelta(minutes=30)
KINDS = (
    *(("page_view", path) for path in ("/", "/Products/1", "/products/2", "/cart", "/checkout", "/checkout/cart")),
    *(("page_view", path) for path in ("/articles/a", "/articles")),
    *((kind, None) for kind in ("add_to_cart", "add_to_cart", "purchase", "app_open", "install", "form_submit")),
)


# ---- events ----


def made_up_events() -> list[dict[str, Any]]:
    """People with two browsers and an app, who log in now and then, visit over midnight, and do much at one moment."""
    rng = random.Random("retention and funnels")
    rows = list(_edges_of_time())
    for day, person, visit in product(DAYS, range(14), range(5)):
        if rng.random() < 0.55:
            continue
        ids = {"visitor_id": f"v{person}.{rng.randrange(2)}"}
        if visit == 4:
            ids = {"visitor_id": None, "device_id": f"d{person}"}
        at = datetime.fromisoformat(day) + timedelta(minutes=rng.choice((rng.randrange(1440), 1425, 1435)))
        site = rng.choice(SITES)
        for _ in range(rng.randrange(1, 9)):
            kind, path = rng.choice(KINDS)
            known = ids | ({"user_id": f"u{person}"} if rng.random() < 0.15 else {})
            rows.append(_row(kind, path, at, rng, site_id=site, **known))
            at += timedelta(seconds=rng.choice((0, 0, 1, 30, 600, 1800, 1801)))
    for day in DAYS:
        at = datetime.fromisoformat(day) + timedelta(hours=12)
        rows += [_row("app_open", None, at, rng, visitor_id="robot", is_bot=True)]
        rows += [_row("app_open", None, at, rng, visitor_id=None)]
    return rows


def _edges_of_time() -> Iterator[dict[str, Any]]:
    """Bought exactly a day after the product was seen, and a microsecond later; entered and bought after midnight."""
    rng = random.Random("edges")
    seen = datetime.fromisoformat(DAYS[0]) + timedelta(hours=9)
    for visitor, more in (("exact", 0), ("over", 1)):
        yield _row("page_view", "/products/1", seen, rng, visitor_id=visitor)
        yield _row("page_view", "/cart", seen, rng, visitor_id=visitor, event_id="zz" + visitor)
        yield _row("page_view", "/checkout", seen + timedelta(seconds=9), rng, visitor_id=visitor)
        bought = seen + timedelta(days=1, microseconds=more)
        yield _row("purchase", None, bought, rng, visitor_id=visitor)
    midnight = datetime.fromisoformat(DAYS[1])
    yield _row("page_view", "/", midnight - timedelta(minutes=10), rng, visitor_id="night")
    for path, minutes in (("/products/1", 15), ("/cart", 16), ("/checkout", 17)):
        yield _row("page_view", path, midnight + timedelta(minutes=minutes), rng, visitor_id="night")
    yield _row("purchase", None, midnight + timedelta(days=1, minutes=10), rng, visitor_id="night")


def _row(kind: str, path: str | None, at: datetime, rng: random.Random, **columns: Any) -> dict[str, Any]:
    of_chance = {"path": path, "event_id": f"{rng.getrandbits(64):016x}"}
    return event(kind, at.isoformat(), rng.getrandbits(30), **of_chance | columns)


def raw_lake(folder: Path, rows: list[dict[str, Any]]) -> Lake:
    """Each event in the file of its day; what is after midnight came with the day before, where the next has none."""
    lake = Lake(str(folder))
    by_day = defaultdict(list)
    for row in rows:
        by_day[str(row["event_ts"].date())].append(row)
    for day, of_day in by_day.items():
        source_date = day if day in DAYS else str(date.fromisoformat(day) - timedelta(days=1))
        write_events(lake, day, source_date, of_day)
    return lake


# ---- what they should amount to ----


@dataclass(frozen=True)
class Seen:
    """An event of somebody, with the day of its session."""

    day: date
    person: str
    visitor: str
    row: dict[str, Any]

    @property
    def place(self) -> tuple[datetime, str]:
        return self.row["event_ts"], self.row["event_id"]

    @property
    def nodes(self) -> list[str]:
        ids = (("visitor", "visitor_id"), ("user", "user_id"), ("device", "device_id"))
        return [f"{kind}:{self.row[column]}" for kind, column in ids if self.row.get(column)]


def seen_events(rows: list[dict[str, Any]], days: Sequence[str] = DAYS) -> list[Seen]:
    """The events of people in sessions that began on the days that are built."""
    visits: list[list[dict[str, Any]]] = []
    by_visitor = defaultdict(list)
    for row in rows:
        visitor = row["visitor_id"] or row.get("device_id")
        if visitor and not row["is_bot"]:
            by_visitor[row["site_id"], visitor].append(row)
    for of_visitor in by_visitor.values():
        of_visitor.sort(key=lambda row: (row["event_ts"], row["event_id"]))
        for before, row in zip([None, *of_visitor], of_visitor, strict=False):
            if before is None or row["event_ts"] - before["event_ts"] > PAUSE:
                visits.append([])
            visits[-1].append(row)
    found = []
    for visit in visits:
        day, users = visit[0]["event_ts"].date(), [row["user_id"] for row in visit if row.get("user_id")]
        first = visit[0]
        visitor = f"visitor:{first['visitor_id']}" if first["visitor_id"] else f"device:{first['device_id']}"
        person = f"user:{users[-1]}" if users else visitor
        if str(day) in days:
            found += [Seen(day, person, visitor, row) for row in visit]
    return found


class AsOf:
    """Who was who at a day's end: nodes that were seen in one event until then are one person."""

    def __init__(self, events: list[Seen], day: date) -> None:
        self.days: dict[str, set[date]] = defaultdict(set)
        first: dict[str, tuple[datetime, str]] = {}
        self.root: dict[str, str] = {}
        for each in events:
            for node in each.nodes:
                first[node] = min(first.get(node, (each.row["event_ts"], node)), (each.row["event_ts"], node))
        for each in events:
            if each.day <= day:
                for node in each.nodes:
                    self.root.setdefault(node, node)
                    self._join(each.nodes[0], node, first)
        for each in events:
            for node in each.nodes if each.day <= day else ():
                self.days[self.of(node)].add(each.day)
        self.first_day = {root: min(days) for root, days in self.days.items()}

    def of(self, node: str) -> str:
        while self.root[node] != node:
            node = self.root[node]
        return node

    def _join(self, node: str, other: str, first: dict[str, tuple[datetime, str]]) -> None:
        older, younger = sorted((self.of(node), self.of(other)), key=lambda root: first[root])
        self.root[younger] = older


def expected_retention(events: list[Seen], days: Sequence[str] = DAYS) -> dict[tuple[Any, ...], tuple[int, int, float]]:
    """(report date, period, kind, cohort) → size, retained, rate."""
    as_of = {date.fromisoformat(day): AsOf(events, date.fromisoformat(day)) for day in days}

    def members(report: date, first: date, last: date, kind: str) -> set[str]:
        people = as_of[report]
        if kind == "first_time":
            return {each for each, day in people.first_day.items() if first <= day <= last}
        return {each for each, days in people.days.items() if any(first <= day <= last for day in days)}

    rows = {}
    for (report, cohort), kind, (period, length, last_number) in product(
        product(as_of, as_of), ("first_time", "recurring"), (("day", 1, 30), ("week", 7, 12))
    ):
        number = (report - cohort).days // length
        is_week_end = period == "day" or report.weekday() == cohort.weekday() == 6
        if not (is_week_end and (report - cohort).days >= 0 and number <= last_number):
            continue
        back = timedelta(days=length - 1)
        now = members(report, report - back, report, "recurring")
        size = len(members(cohort, cohort - back, cohort, kind))
        retained = min(size, len(members(report, cohort - back, cohort, kind) & now))
        rows[report, period, kind, cohort - back] = size, retained, percent(retained, size)
    return rows


def expected_funnels(
    events: list[Seen], days: Sequence[str] = DAYS, sites: Sequence[str] = SITES
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """(report date, funnel, site, step) → entered, reached, rates, mean and median seconds.

    Step k can be done with any event that comes after one with which step k - 1 can be done: no choice is made.
    """
    with (PROJECT / "seeds" / "funnel_steps.csv").open(encoding="utf-8") as file:
        rules = list(csv.DictReader(file))
    rows = {}
    for day, funnel, site in product(map(date.fromisoformat, days), dict.fromkeys(r["funnel"] for r in rules), sites):
        steps = [rule for rule in rules if rule["funnel"] == funnel]
        reached: list[list[float]] = [[] for _ in steps]
        for of_person in by_person(events, day, site).values():
            for number, seconds in enumerate(walk(of_person, day, steps)):
                reached[number].append(seconds)
        entered = len(reached[0])
        for number, seconds in enumerate(reached if entered else []):
            before = len(reached[max(number - 1, 0)])
            rates = percent(len(seconds), entered), percent(len(seconds), before)
            times = (sum(seconds) / len(seconds), median(seconds)) if seconds else (None, None)
            rows[day, funnel, site, number + 1] = (entered, len(seconds), *rates, *times)
    return rows


def by_person(events: list[Seen], day: date, site: str) -> dict[str, list[Seen]]:
    """A site's events of those who were known at the end of a day, in time."""
    people = AsOf(events, day)
    found = defaultdict(list)
    for each in sorted(events, key=lambda each: each.place):
        known = next((node for node in (each.person, each.visitor) if node in people.root), None)
        if each.row["site_id"] == site and known:
            found[people.of(known)].append(each)
    return found


def walk(events: list[Seen], day: date, steps: list[dict[str, str]]) -> list[float]:
    """Seconds until each step that somebody reached; none if they did not enter on that day."""
    first = next((each for each in events if each.day == day and matches(each, steps[0])), None)
    if first is None:
        return []
    longest = timedelta(seconds=int(steps[0]["within_seconds"]))
    possible, seconds = [first], [0.0]
    for step in steps[1:]:
        earliest = possible[0]
        possible = [
            each
            for each in events
            if matches(each, step)
            and each.place > earliest.place
            and each.row["event_ts"] - first.row["event_ts"] <= longest
        ]
        if not possible:
            break
        seconds.append((possible[0].row["event_ts"] - first.row["event_ts"]) / timedelta(seconds=1))
    return seconds


def matches(each: Seen, step: dict[str, str]) -> bool:
    has_path = not step["path_regex"] or re.search(step["path_regex"], (each.row["path"] or "").lower()) is not None
    return each.row["event_type"] == step["event_type"] and has_path


def percent(part: int, whole: int) -> float:
    exact = Decimal(100 * part) / whole if whole else Decimal(0)
    return float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


# ---- tests ----


@pytest.fixture(scope="module")
def range_lake(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Lake:
    """All days published by one run."""
    lake = raw_lake(tmp_path_factory.mktemp("range"), made_up_events())
    done = build(lake, target, DAYS[0], AFTER, *SELECTED)
    assert done.returncode == 0, done.stdout
    return lake


def published(lake: Lake) -> dict[str, bytes]:
    keys = [mart_key(model, day) for model, day in product(MODELS, DAYS)]
    assert sorted(file.key for model in MODELS for file in lake.files(f"marts/{model}")) == sorted(keys)
    return {key: Path(lake.path(key)).read_bytes() for key in keys}


def test_retention_is_as_counted_by_hand(range_lake: Lake) -> None:
    expected = expected_retention(seen_events(made_up_events()))
    found = {
        (date.fromisoformat(day), row["period"], row["cohort_kind"], row["cohort_date"]): (
            row["cohort_size"],
            row["retained"],
            row["retention_rate"],
        )
        for day in DAYS
        for row in mart(range_lake, "retention", day)
    }
    assert found == expected
    # Worth comparing: somebody came back after a day and a week, and some did not.
    assert {0 < retained < size for size, retained, _ in expected.values()} == {True, False}
    assert any(0 < row[1] < row[0] for key, row in expected.items() if key[1] == "week")


def test_funnels_are_as_walked_by_hand(range_lake: Lake) -> None:
    expected = expected_funnels(seen_events(made_up_events()))
    found = {
        (date.fromisoformat(day), row["funnel"], row["site_id"], row["step_number"]): row
        for day in DAYS
        for row in mart(range_lake, "funnels", day)
    }
    assert sorted(found) == sorted(expected)
    for key, (entered, reached, rate, step_rate, average, middle) in expected.items():
        row = found[key]
        assert (row["entered"], row["reached"]) == (entered, reached), key
        assert (row["conversion_rate"], row["step_rate"]) == (rate, step_rate), key
        assert row["average_seconds"] == (None if average is None else pytest.approx(average, abs=0.0006)), key
        assert row["median_seconds"] == (None if middle is None else pytest.approx(middle, abs=0.000001)), key
    somebody = {key[1:] for key, row in expected.items() if row[1]}
    assert somebody >= {("shop", "shop.example", 4), ("lead", "app.example", 2)}


def test_what_the_made_up_events_hold() -> None:
    events = seen_events(made_up_events())
    assert any(each.day < each.row["event_ts"].date() for each in events)
    before, after = AsOf(events, date.fromisoformat(DAYS[0])), AsOf(events, date.fromisoformat(DAYS[-1]))
    assert any(after.of(node) != after.of(root) or after.of(root) != root for node, root in before.root.items())
    people = by_person(events, date.fromisoformat(DAYS[0]), SITES[0]).values()
    assert any(len({each.person for each in of_person}) > 1 for of_person in people)


@pytest.mark.long
@pytest.mark.parametrize("order", [tuple(reversed(WINDOWS))], ids=["reversed"])
def test_days_in_any_order_give_what_a_range_gives(
    range_lake: Lake, target: Path, tmp_path: Path, order: tuple[tuple[str, str], ...]
) -> None:
    lake = raw_lake(tmp_path, made_up_events())
    build_each(lake, target, order, *SELECTED)
    one_by_one, in_a_range = published(lake), published(range_lake)
    assert [key for key in in_a_range if one_by_one[key] != in_a_range[key]] == []


def test_a_day_again_changes_nothing(range_lake: Lake, target: Path, tmp_path: Path) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    assert build(lake, target, DAYS[1], DAYS[2], *SELECTED).returncode == 0
    assert published(lake) == published(range_lake)
