"""Work in threads: results in the order of the tasks, errors in their place, nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ingest.rows import parallel
from ingest.rows.parallel import ordered


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ingest-")]


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    def repeat(number: int) -> Iterator[tuple[int, int]]:
        for turn in range(number % 5):
            yield number, turn

    expected = [(number, (number, turn)) for number in range(50) for turn in range(number % 5)]
    assert list(ordered(repeat, range(50), workers)) == expected
    assert not threads()


def test_no_tasks_give_no_results() -> None:
    assert list(ordered(lambda task: [task], [], 2)) == []


def test_an_error_is_raised_where_its_result_would_have_stood() -> None:
    def fail_at_third(number: int) -> Iterator[int]:
        yield number
        if number == 3:
            raise ValueError("third")

    seen = []
    results = ordered(fail_at_third, range(20), 4)
    with pytest.raises(ValueError, match="third"):
        seen.extend(task for task, _ in results)
    assert seen == [0, 1, 2, 3]
    assert not threads()


def test_leaving_early_stops_the_workers() -> None:
    def endless(number: int) -> Iterator[int]:
        while True:
            yield number

    results = ordered(endless, range(5), 3)
    assert next(results) == (0, 0)
    results.close()
    assert not threads()


def test_workers_do_not_run_far_ahead() -> None:
    started: list[int] = []

    def start(number: int) -> list[int]:
        started.append(number)
        return [number]

    limit = 2 + parallel.TASKS_AHEAD
    for task, _ in ordered(start, range(40), 2):
        assert max(started) <= task + limit
    assert sorted(started) == list(range(40))
