"""Which fields are new, missing or changed, and what chance explains; the counts that say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.events.found import MAX_OTHERS
from ingest.partition.day import ingest_day
from ingest.partition.drift import Profile, drift, profile_of
from ingest.source import FolderSource
from tests.event_lines import DAY, OPTIONS, SITE, Events, pixel
from tests.partitions import events_of


def profile(rows: int, **fields: int | dict[str, int]) -> Profile:
    types = {name: each if isinstance(each, dict) else {"string": each} for name, each in fields.items()}
    return Profile({"pixel": rows}, {("pixel", name): each for name, each in types.items()})


@pytest.mark.parametrize(
    ("before", "now", "is_told"),
    [
        ((10_000, 0), (10_000, 10), True),  # 1 of 1,000
        ((10_000, 0), (10_000, 9), False),
        ((100, 0), (100, 9), False),  # chance may have left out so few
        ((100, 0), (100, 10), True),
        ((100, 0), (10_000, 100), False),  # one was to be expected
        ((10_000, 5), (10_000, 5_000), True),  # a first try on the day before
        ((10_000, 500), (10_000, 5_000), False),  # a roll-out that began before
        ((10_000, 3), (10_000, 30), False),  # rare, and there before
    ],
)
def test_a_field_is_new_where_chance_does_not_explain_it(
    before: tuple[int, int], now: tuple[int, int], is_told: bool
) -> None:
    days = [profile(rows, id=rows, more=number) for rows, number in (before, now)]
    found = drift(*days)
    assert (found.new, found.missing, found.changed) == (["pixel.more"] if is_told else [], [], [])
    back = drift(*reversed(days))
    assert (back.new, back.missing, back.changed) == ([], ["pixel.more"] if is_told else [], [])


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({"string": 100}, {"number": 100}, ["pixel.value (string → number)"]),
        ({"string": 100}, {"string": 90, "number": 10}, ["pixel.value (string → number or string)"]),
        ({"string": 100}, {"string": 91, "number": 9}, []),
        ({"string": 100}, {"null": 100}, ["pixel.value (string → null)"]),
        ({"string": 100}, {"string": 50, "null": 50}, []),  # it is not always there
        ({"null": 100}, {"string": 100}, ["pixel.value (null → string)"]),
    ],
)
def test_a_field_of_another_type_is_changed(before: dict[str, int], now: dict[str, int], told: list[str]) -> None:
    found = drift(profile(100, id=100, value=before), profile(100, id=100, value=now))
    assert (found.new, found.missing, found.changed) == ([], [], told)


def test_a_shape_that_nobody_sends_any_more_is_no_missing_field() -> None:
    before = Profile({"pixel": 100, "site": 100}, {("pixel", "a"): {"string": 100}, ("site", "b"): {"string": 100}})
    assert not drift(before, Profile({"pixel": 100}, {("pixel", "a"): {"string": 100}}))


def test_an_old_ledger_has_no_profile() -> None:
    assert profile_of(pa.table({"source_object": ["a"]})) is None


@pytest.fixture(params=["a query for each structure", "the general way"])
def events(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Events:
    monkeypatch.setattr("ingest.events.parser.MIN_LINES", 1 if request.param.startswith("a query") else 1_000_000)
    return Events(tmp_path)


def counted(events: Events) -> list[dict[str, int]]:
    ledger = events.lake.read_table(events_of(DAY, SITE).ledger_file)
    return [dict(each) for each in ledger.column("fields").to_pylist()]


def test_fields_of_events_are_counted_by_object_shape_and_type(events: Events) -> None:
    events.write(pixel(theme="dark"), pixel(theme=7, visitorId=None), pixel(theme={"dark": True}, page=[]), b"{broken")
    events.write({"page_url": "https://example.com/", "event_type": "x", "timestamp": f"{DAY}T10:00:00Z"}, hour=11)
    assert not events.ingest().published
    (first, second) = events.lake.read_table(f"quarantine/events/day={DAY}/site={SITE}/ledger.parquet")["fields"]
    assert dict(first.as_py()) == {
        "pixel.eventType:string": 3,
        "pixel.page:array": 1,  # breaks its schema: the event is rejected, and this says why
        "pixel.siteId:string": 3,
        "pixel.theme:number": 1,
        "pixel.theme:object": 1,
        "pixel.theme:string": 1,
        "pixel.timestamp:string": 3,
        "pixel.visitorId:null": 1,
        "pixel.visitorId:string": 2,
    }
    assert dict(second.as_py()) == {"site.event_type:string": 1, "site.page_url:string": 1, "site.timestamp:string": 1}


def test_events_of_a_batch_count_each(events: Events) -> None:
    events.take(pixel(eventType="batch", mood="good", events=[{"eventType": "a"}, {"eventType": "b", "mood": 1}]))
    (fields,) = counted(events)
    assert (fields["pixel.eventType:string"], fields["pixel.mood:string"], fields["pixel.mood:number"]) == (2, 1, 1)
    assert "pixel.events:array" not in fields


def test_keys_that_are_made_of_ids_or_addresses_are_no_names(events: Events) -> None:
    strange: dict[str, Any] = {"joe@example.com": 1, "198.51.100.7": 1, "4155550100": 1, "a b": 1, "x" * 65: 1, "": 1}
    events.take(pixel(**strange, fine_one=1))
    (fields,) = counted(events)
    assert {name.split(".", 1)[1] for name in fields} == {
        "eventType:string", "siteId:string", "visitorId:string", "timestamp:string", "fine_one:number",
    }  # fmt: skip


def test_made_up_keys_without_end_are_not_as_many_fields(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.take(*(pixel(**{f"key{number}": 1}) for number in range(300)))
    (fields,) = counted(events)
    assert len([name for name in fields if "key" in name]) == MAX_OTHERS
    assert fields["pixel.eventType:string"] == 300


def test_a_tracker_that_changes_is_told(events: Events) -> None:
    before = "2026-01-11"
    key = events.write(*(pixel(visitorId=f"v{n}", timestamp=f"{before}T10:00:00Z", mood="good") for n in range(30)))
    path = events.folder / key.replace("day=12", "day=11").replace(DAY, before)
    path.parent.mkdir(parents=True)
    (events.folder / key).rename(path)
    source = FolderSource(events.folder)
    assert ingest_day(events.lake, source, events_of(before, SITE), OPTIONS).published
    events.write(*(pixel(visitorId=f"v{n}", mood=True, plan="free") for n in range(30)))
    result = events.ingest()
    (verdict,) = [each for each in result.verdicts if each.check == "schema_drift"]
    assert result.published
    assert verdict.message == f"new: pixel.plan; changed: pixel.mood (string → boolean) (against {before})"
