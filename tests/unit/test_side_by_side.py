"""Small days are worked on at once, and end as if each had been worked on alone."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta

import pytest

from ingest.source import SourceObject
from orchestration.raw import side_by_side as module
from orchestration.raw.side_by_side import Turn, side_by_side, stretches

DAYS = [date(2026, 1, 1) + timedelta(days=number) for number in range(9)]


def test_days_meet_and_are_judged_in_their_order() -> None:
    judged: list[date] = []
    met = threading.Barrier(module.DAYS_AT_ONCE)

    def work(day: date, turn: Turn) -> int:
        if day < DAYS[module.DAYS_AT_ONCE]:
            met.wait(60)  # passes only if so many days are worked on at once
        turn()
        judged.append(day)
        return day.day

    assert list(side_by_side(work, DAYS)) == [(day, day.day) for day in DAYS]
    assert judged == DAYS


def test_a_day_that_fails_does_not_end_those_that_have_begun_and_no_other_begins() -> None:
    begun: list[date] = []
    met = threading.Barrier(module.DAYS_AT_ONCE)

    def work(day: date, turn: Turn) -> str:
        begun.append(day)
        if day < DAYS[module.DAYS_AT_ONCE]:
            met.wait(60)
        if day == DAYS[0]:
            turn()
            raise OSError("the first error")
        if day == DAYS[2]:
            raise OSError("a later error, which comes before its turn")
        turn()
        return "done"

    with pytest.raises(OSError, match="the first error"):
        list(side_by_side(work, DAYS))
    assert DAYS[-1] not in begun


def test_days_that_were_done_are_told_of_before_an_error_is_raised() -> None:
    told: list[date] = []

    def work(day: date, turn: Turn) -> None:
        turn()
        if day == DAYS[1]:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT012 - what it yields before
        for day, _ in side_by_side(work, DAYS[:4]):
            told.append(day)
    assert told[0] == DAYS[0]
    assert DAYS[1] not in told


def test_an_interruption_begins_no_other_day() -> None:
    begun: list[date] = []
    interrupted = threading.Event()

    def work(day: date, turn: Turn) -> None:
        begun.append(day)
        if day != DAYS[0]:
            interrupted.wait(60)
        turn()

    days = side_by_side(work, DAYS)
    assert next(days)[0] == DAYS[0]
    threading.Timer(0.01, interrupted.set).start()
    days.close()  # as a KeyboardInterrupt in the loop over it does; waits for the days that have begun
    assert len(begun) < len(DAYS)


def test_large_days_are_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_BYTES", 100)
    monkeypatch.setattr(module, "GROUP_OBJECTS", 4)
    sizes = [[40], [60], [10], [101], [], [1, 1], [1, 1], [1], [200]]
    objects = {
        day: [SourceObject(f"{day}-00", str(size), size, "", datetime.now(UTC)) for size in of_day]
        for day, of_day in zip(DAYS, sizes, strict=True)
    }
    found = [[DAYS.index(day) for day in stretch] for stretch in stretches(DAYS, lambda day: objects[day])]
    assert found == [[0, 1], [2], [3], [4, 5, 6], [7], [8]]
