"""However the same events come, split into objects, repeated, late, in any order of days, the numbers are the same."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.lake.files import Lake
from ingest.partition.day import ingest_day
from ingest.source import FolderSource
from tests.event_lines import lenient, line, pixel
from tests.integration.dbt_fixtures import build
from tests.partitions import events_of

pytestmark = pytest.mark.slow

DAYS = ("2026-01-12", "2026-01-13")
AFTER = "2026-01-14"
SITE = "any.example"
MODELS = ("sessions", "site_daily", "site_daily_by")
SELECTED = ("--select", *(f"+{model}" for model in MODELS))
BROWSER = {"userAgent": "Mozilla/5.0 Chrome/120.0.0.0", "language": "en", "timezone": "UTC"}

Line = tuple[str, bytes]  # the day of its first event, and what is sent


def made_up_lines() -> list[Line]:
    """Two days of a few visitors in all four shapes: over midnight, at the same moment, at the border of a pause."""
    rng = random.Random("events of any order")
    lines: list[Line] = []
    for day in DAYS:
        midnight = datetime.fromisoformat(day)
        for visitor in range(4):
            moments = [midnight + timedelta(minutes=rng.randrange(1440)) for _ in range(5)]
            moments += [midnight + timedelta(hours=10), midnight + timedelta(hours=10), moments[0]]
            moments += [midnight + timedelta(hours=10, minutes=30), midnight + timedelta(hours=23, minutes=50)]
            moments += [midnight + timedelta(minutes=5)] if day == DAYS[1] else []
            for number, moment in enumerate(moments):
                lines.append((day, line(_event(visitor, number, f"{moment.isoformat()}Z", rng))))
    return lines


def _event(visitor: int, number: int, at: str, rng: random.Random) -> dict[str, Any]:
    """Of the visitor's shape; one that has no id of its own is told apart by `n`."""
    url = f"https://{SITE}/{rng.choice('abc')}" + rng.choice(("", "?utm_source=news&utm_medium=email", "?gclid=x"))
    value = {"n": number, "value": rng.randrange(1, 9), "currency": "USD"}
    if visitor == 0:
        batch = {"eventType": "batch", "events": [{"eventType": "click", "timestamp": at}, {"eventType": "scroll"}]}
        event = pixel(timestamp=at, url=url, browser=BROWSER, visitorId=None, ip="203.0.113.9", eventData=value)
        return event | batch if number % 4 == 3 else event
    if visitor == 1:
        known = {"event_id": f"evt_{at}_{number}", "visitor_id": "visitor_1", "user_agent": BROWSER["userAgent"]}
        return known | {"event_type": "purchase", "page_url": url, "timestamp": at, "event_data": value}
    if visitor == 2:
        return {"event_type": "page_view", "device_id": "d2", "timestamp": at, "url": url, "event_data": value}
    return {"user_id": "u3", "created_at": at, "event": "page_view", "page": url, "properties": value}


def put(folder: Path, lines: list[Line], rng: random.Random | None) -> None:
    """Writes the lines as objects: one a day, or, by chance, split, shuffled, repeated and late."""
    sent: dict[tuple[str, int, int], list[bytes]] = {}
    for day, text in lines:
        if rng is None:
            sent.setdefault((day, 23, 0), []).append(text)
            continue
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            received = rng.choice((day, DAYS[1]))  # a late one is received on the next day
            sent.setdefault((received, rng.randrange(24), rng.randrange(2)), []).append(text)
    if rng is not None:
        for day in DAYS:  # one that nothing came for would have been refused
            sent.setdefault((day, 0, 0), [text for of, text in lines if of == day][:1])
    for (day, hour, number), texts in sent.items():
        if rng is not None:
            rng.shuffle(texts)
        name, body = _written(texts, rng)
        year, month, date = day.split("-")
        path = folder / f"domain={SITE}/year={year}/month={month}/day={date}/hour={hour:02}"
        path.mkdir(parents=True, exist_ok=True)
        (path / f"events-{day}-{hour:02}.{number}.{name}").write_bytes(body)


def _written(texts: list[bytes], rng: random.Random | None) -> tuple[str, bytes]:
    kind = rng.choice(("plain", "open", "gzip", "members", "array")) if rng else "plain"
    if kind == "array":
        return "json", b"[\n" + b",\n".join(texts) + b"\n]\n"
    if kind == "members":
        return "jsonl.gz", b"".join(gzip.compress(text + b"\n") for text in texts)
    body = b"\n".join(texts) + (b"" if kind == "open" else b"\n")
    return ("jsonl.gz", gzip.compress(body)) if kind == "gzip" else ("jsonl", body)


def take_in(lake: Lake, folder: Path, day: str) -> None:
    result = ingest_day(lake, FolderSource(folder), events_of(day, SITE), lenient())
    assert result.published, result.reason
    assert result.rows_rejected == 0


def marts(lake: Lake) -> dict[str, pa.Table]:
    found = {file.key: lake.read_table(file.key) for model in MODELS for file in lake.files(f"marts/{model}")}
    assert len(found) == len(MODELS) * len(DAYS)
    return found


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, target: Path) -> dict[str, pa.Table]:
    """Each event once, in time, one object a day, both days at once."""
    folder = tmp_path_factory.mktemp("in-order")
    put(folder / "events", made_up_lines(), None)
    lake = Lake(str(folder / "lake"))
    for day in DAYS:
        take_in(lake, folder / "events", day)
    done = build(lake, target, DAYS[0], AFTER, *SELECTED)
    assert done.returncode == 0, done.stdout
    return marts(lake)


def test_the_expected_rows_are_worth_comparing(expected: dict[str, pa.Table]) -> None:
    sessions = [row for key, table in expected.items() if "/sessions/" in key for row in table.to_pylist()]
    batches = sum(json.loads(text).get("eventType") == "batch" for _, text in made_up_lines())
    assert batches > 0
    assert sum(row["events"] for row in sessions) == len(made_up_lines()) + batches
    assert any(row["session_start"].date() < row["session_end"].date() for row in sessions)
    assert len({row["visitor_key"] for row in sessions}) == 4
    assert max(row["session_sequence"] for row in sessions) > 3
    assert len({row["channel"] for row in sessions}) > 1


def _orders() -> Iterator[Any]:
    """What is built when: each step takes in its days, then builds them."""
    yield pytest.param(1, [[*DAYS]], id="at once")
    yield pytest.param(2, [[DAYS[0]], [DAYS[1]]], id="day by day", marks=pytest.mark.long)
    yield pytest.param(3, [[DAYS[1]], [DAYS[0]]], id="backwards", marks=pytest.mark.long)
    yield pytest.param(4, [[DAYS[1]], [DAYS[0]]], id="backwards, other objects")


@pytest.mark.parametrize(("seed", "steps"), _orders())
def test_any_split_any_repetition_any_order_give_the_same_rows(
    expected: dict[str, pa.Table], target: Path, tmp_path: Path, seed: int, steps: list[list[str]]
) -> None:
    folder, lake = tmp_path / "events", Lake(str(tmp_path / "lake"))
    put(folder, made_up_lines(), random.Random(f"objects {seed}"))
    for days in steps:
        for day in days:
            take_in(lake, folder, day)
        done = build(lake, target, days[0], AFTER if days[-1] == DAYS[1] else DAYS[1], *SELECTED)
        assert done.returncode == 0, done.stdout
    found = marts(lake)
    assert sorted(found) == sorted(expected)
    assert [key for key in expected if not found[key].equals(expected[key])] == []
