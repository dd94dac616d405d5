"""Field cases of objects that vanish, days without objects, and sources that are not there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingest.days import parse_day
from ingest.partition.day import DayResult, ingest_day
from ingest.partition.ledger import fingerprint, is_judged, not_read, version_of
from ingest.partition.releases import Release, write_release
from ingest.source import FolderSource, Terms
from orchestration.operations.lateness import days_with_news
from orchestration.operations.status import OBJECTS_GONE, OUT_OF_DATE, PUBLISHED, REFUSED_BUT_KEPT, status
from tests.event_lines import Events, event_key, line, pixel
from tests.log_lines import DAY, LogDay, lines, log
from tests.partitions import days_of, events_of, logs_of

BEFORE, AFTER = "2026-01-11", "2026-01-13"
AGES_AGO = Terms(kept_days=1)


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path)


@pytest.fixture
def eight(day: LogDay) -> tuple[LogDay, list[str]]:
    """A day that was published from eight objects of ten rows each."""
    keys = [day.add(log(lines(10, start=10 * number)), f"{number}") for number in range(8)]
    assert day.ingest().published
    return day, keys


def refusing(result: DayResult) -> list[str]:
    return [verdict.check for verdict in result.refusals]


def message_of(result: DayResult, check: str) -> str:
    (verdict,) = [verdict for verdict in result.verdicts if verdict.check == check]
    return verdict.message


def state_of(day: LogDay) -> tuple[str, str | None]:
    (found,) = status(day.lake, {"access_logs": day.source}, parse_day(DAY), parse_day(DAY))
    return found.tables["raw.access_logs"], found.reason


def news_of(day: LogDay) -> set[dt.date]:
    return set(days_with_news(day.lake, {"access_logs": day.source}, days_of(BEFORE, DAY, AFTER)))


# Objects that vanish


@pytest.mark.parametrize("incremental", [False, True])
def test_a3_a_day_of_which_objects_vanished_is_held_back(eight: tuple[LogDay, list[str]], incremental: bool) -> None:
    day, keys = eight
    for key in keys[4:]:
        (day.logs / key).unlink()
    assert news_of(day) == set(days_of(DAY))
    assert state_of(day)[0] == OBJECTS_GONE

    result = ingest_day(day.lake, day.source, logs_of(DAY), day.options, incremental=incremental)
    assert refusing(result) == ["objects_kept"]
    assert result.reason.startswith("objects_kept: 4 objects with 40 of 80 published rows vanished from the source: ")
    assert keys[4] in result.reason
    assert len(day.rows()) == 80
    assert news_of(day) == set()
    state, reason = state_of(day)
    assert state == REFUSED_BUT_KEPT
    assert "4 objects with 40 of 80 published rows vanished" in str(reason)

    day.add(log(lines(10, start=40)), "4")  # one is back; three are still gone
    assert state_of(day)[0] == OBJECTS_GONE
    day.add(log(lines(10, start=900)), "late")
    assert state_of(day)[0] == OUT_OF_DATE
    assert refusing(day.ingest()) == ["objects_kept"]
    for number in (5, 6, 7):
        day.add(log(lines(10, start=10 * number)), f"{number}")
    assert (day.ingest().published, len(day.rows())) == (True, 90)
    assert day.lake.files("quarantine") == []


def test_a3_new_objects_do_not_make_up_for_vanished_ones(eight: tuple[LogDay, list[str]]) -> None:
    day, keys = eight
    (day.logs / keys[0]).unlink()
    day.add(log(lines(500, start=1000)), "late")
    assert refusing(day.ingest()) == ["objects_kept"]
    assert len(day.rows()) == 80


def test_a3_a_day_whose_objects_all_vanished_is_held_back(eight: tuple[LogDay, list[str]]) -> None:
    day, keys = eight
    for around in (BEFORE, AFTER):
        day.add(log(lines(3, date=around)), day=around)
        assert day.ingest(day=around).published
    for key in keys:
        (day.logs / key).unlink()
    assert news_of(day) == set(days_of(DAY))
    assert refusing(day.ingest()) == ["objects_kept"]  # between days with objects, but no quiet day
    assert (len(day.rows()), news_of(day)) == (80, set())


def test_a3_a_replaced_object_corrects_its_day(eight: tuple[LogDay, list[str]]) -> None:
    day, _ = eight
    day.add(log(lines(2)), "0")
    assert (day.ingest().published, len(day.rows())) == (True, 72)


def test_a3_a_replaced_object_with_an_address_in_its_key_is_known_again(tmp_path: Path) -> None:
    events = Events(tmp_path)
    key = events.write(pixel(eventId="a"), name="ann@example.org")
    assert events.ingest().published
    (events.folder / key).write_bytes(line(pixel(eventId="b")) + b"\n")
    assert events.ingest().published
    (events.folder / key).unlink()
    events.write(pixel(eventId="c"), name="other")
    assert refusing(events.ingest()) == ["objects_kept"]


def test_a3_rows_of_which_a_copy_stays_are_not_lost(day: LogDay) -> None:
    first, _ = day.add(log(lines(10)), "a"), day.add(log(lines(10)), "b")
    assert day.ingest().published
    (day.logs / first).unlink()
    result = day.ingest()
    assert (result.published, result.rows_kept) == (True, 10)
    assert message_of(result, "objects_kept") == "1 object without rows of its own vanished"


def test_a3_an_object_without_rows_may_go(day: LogDay) -> None:
    day.add(log(lines(10)), "a")
    empty = day.add(log([]), "empty")
    assert day.ingest().published
    (day.logs / empty).unlink()
    assert day.ingest().published


def test_a3_deletions_correct_a_day_where_they_are_meant_to(eight: tuple[LogDay, list[str]]) -> None:
    day, keys = eight
    day.terms = Terms(deletions_correct=True)
    for key in keys[4:]:
        (day.logs / key).unlink()
    result = day.ingest()
    assert (result.published, len(day.rows())) == (True, 40)
    assert "which corrects the day" in message_of(result, "objects_kept")
    for key in keys[:4]:
        (day.logs / key).unlink()
    assert refusing(day.ingest()) == ["objects_present"]  # as where the prefix is wrong
    for around in (BEFORE, AFTER):
        day.add(log(lines(3, date=around)), day=around)
    assert (day.ingest().published, len(day.rows())) == (True, 0)


# Days that are older than the source keeps objects


def test_a3_a_published_day_that_is_older_than_objects_are_kept_is_no_news(eight: tuple[LogDay, list[str]]) -> None:
    day, keys = eight
    for key in keys[2:]:
        (day.logs / key).unlink()
    day.terms = AGES_AGO
    assert news_of(day) == set()
    assert state_of(day) == (PUBLISHED, None)
    for key in keys[:2]:
        (day.logs / key).unlink()
    assert news_of(day) == set()
    assert state_of(day) == (PUBLISHED, None)


def test_a3_an_object_that_comes_to_a_day_kept_as_it_is_is_told(eight: tuple[LogDay, list[str]]) -> None:
    day, keys = eight
    (day.logs / keys[0]).unlink()
    for number in range(7):
        day.add(log(lines(10, start=900 + number)), f"late{number}")
    day.terms = AGES_AGO
    assert news_of(day) == set()  # it is not read by itself
    state, reason = state_of(day)
    assert state == OUT_OF_DATE
    assert str(reason).startswith(
        "access_logs: 7 objects came after the day was published, and will not be read, because the source keeps "
        "objects for 1 day: "
    )
    assert (str(reason).count("late"), str(reason).endswith(" and 2 more")) == (5, True)


def test_a3_the_first_object_of_a_site_that_comes_to_a_day_kept_as_it_is_is_told(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.write(pixel())
    assert events.ingest().published
    source = FolderSource(events.folder, terms=AGES_AGO)
    day = replace(events_of(DAY), site=None)
    assert not_read(events.lake, source, day, source.objects(days_of(DAY))) is None
    events.write(pixel(), site="new.example")
    said = not_read(events.lake, source, day, source.objects(days_of(DAY)))
    assert str(said).startswith("1 object came after")
    assert "domain=new.example/" in str(said)


def test_a3_a_day_of_which_some_may_be_gone_is_not_published_as_whole(day: LogDay) -> None:
    day.terms = AGES_AGO
    day.add(log(lines(10)))
    result = day.ingest()
    assert refusing(result) == ["objects_kept"]
    assert "the source keeps objects for 1 day, so some of this day may be gone already" in result.reason
    accept(day, day.source.objects(days_of(DAY)), "objects_kept")
    assert day.ingest().published


@pytest.mark.parametrize(("age", "is_past"), [(29, False), (30, True), (31, True)])
def test_a3_the_border_of_what_is_kept_is_past(age: int, is_past: bool) -> None:
    now = dt.datetime.now(dt.UTC).date()
    assert Terms(kept_days=30).is_past(now - dt.timedelta(days=age)) is is_past
    assert not Terms().is_past(dt.date(2015, 1, 1))


def accept(day: LogDay, objects: Sequence[Any], check: str) -> None:
    """What `clicklake release` writes."""
    moment = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    judged = fingerprint(map(version_of, objects))
    checks = [{"check": check, "message": ""}]
    write_release(day.lake, Release(logs_of(DAY), checks, "agreed", "ann", moment.isoformat(), judged), moment)


# Quiet days


def put_around(day: LogDay, *around: str) -> None:
    for each in around:
        day.add(log(lines(3, date=each)), day=each)


def test_a4_a_quiet_day_is_published_without_rows_and_read_again_when_objects_come(day: LogDay) -> None:
    put_around(day, BEFORE, AFTER)
    assert news_of(day) == set(days_of(BEFORE, DAY, AFTER))
    result = day.ingest()
    assert (result.published, result.rows_kept, result.objects) == (True, 0, 0)
    assert message_of(result, "objects_present").startswith("quiet: the source has no object of this day")
    assert day.lake.exists(logs_of(DAY).raw_file(parse_day(DAY)))
    assert news_of(day) == set(days_of(BEFORE, AFTER))
    assert state_of(day)[0] == PUBLISHED

    day.add(log(lines(10)))
    assert parse_day(DAY) in news_of(day)
    assert (day.ingest().published, len(day.rows())) == (True, 10)


@pytest.mark.parametrize(
    ("around", "said"),
    [
        ((BEFORE,), "it has no object of any later day either"),
        ((AFTER,), "it has no object of any earlier day either"),  # it may not have begun, or has deleted what is old
        ((), "it has no object of any earlier or later day either"),
    ],
)
def test_a4_a_day_at_the_end_of_a_source_is_not_quiet(day: LogDay, around: tuple[str, ...], said: str) -> None:
    put_around(day, *around)
    result = day.ingest()
    assert refusing(result) == ["objects_present"]
    assert said in result.reason
    assert f"clicklake release {DAY} --table access_logs --reason" in result.reason
    assert parse_day(DAY) not in news_of(day)
    assert day.lake.files("") == []


def test_a4_a_day_is_not_quiet_while_objects_may_come_or_where_names_tell_no_day(day: LogDay) -> None:
    put_around(day, BEFORE, AFTER)
    day.terms = Terms(lateness=dt.timedelta(days=36_500))
    result = day.ingest()
    assert refusing(result) == ["objects_present"]
    assert "they may arrive up to 876000 hours after the day" in result.reason
    day.terms = AGES_AGO
    assert "so they may be deleted" in day.ingest().reason
    day.terms = Terms()
    (day.logs / "access.log").write_bytes(log(lines(3)))
    assert "access.log is there and is not looked at" in day.ingest().reason
    assert parse_day(DAY) not in news_of(day)
    (day.logs / "access.log").unlink()
    assert day.ingest().published


def test_a4_a_day_without_objects_is_released_as_such(day: LogDay) -> None:
    put_around(day, BEFORE)
    assert refusing(day.ingest()) == ["objects_present"]
    accept(day, [], "objects_present")
    assert (day.ingest().published, day.rows()) == (True, [])
    assert parse_day(DAY) not in news_of(day)
    day.add(log(lines(10)))
    assert (day.ingest().published, len(day.rows())) == (True, 10)


def test_a4_a_quiet_day_is_no_measure_of_the_usual_volume(day: LogDay) -> None:
    put_around(day, BEFORE, AFTER)
    assert day.ingest().published
    later = "2026-01-19"
    day.add(log(lines(10, date=later)), day=later)
    assert message_of(day.ingest(day=later), "volume") == "no earlier day to compare with"


def test_a4_a_quiet_day_of_events_is_one_of_no_site(tmp_path: Path) -> None:
    events = Events(tmp_path)
    for around in (BEFORE, AFTER):
        path = events.folder / event_key("a.example", around, "a")
        path.parent.mkdir(parents=True)
        path.write_bytes(line(pixel(timestamp=f"{around}T10:00:00Z")))
    source = FolderSource(events.folder)
    whole = events_of(DAY)
    assert ingest_day(events.lake, source, whole, LogDay(tmp_path / "other").options).published
    own = whole.raw_folder(parse_day(DAY))
    assert [file.key for file in events.lake.files(own)] == [f"{own}site=-/data.parquet"]
    assert is_judged(events.lake, whole, [])
    events.write(pixel(), site="a.example")
    assert not is_judged(events.lake, whole, source.objects(days_of(DAY)))
    assert events.ingest("a.example").published
    assert is_judged(events.lake, whole, source.objects(days_of(DAY)))
