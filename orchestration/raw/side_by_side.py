"""Works on several small days at once: they wait for the disk, for S3 and for one another's Python. Large days come one
after the other, each on all cores, so that memory stays that of one large day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from datetime import date
from itertools import pairwise
from threading import Event
from typing import TypeVar

from ingest.partition.day import AT_ONCE, Turn
from ingest.partition.together import GROUP_BYTES, GROUP_OBJECTS
from ingest.source import SourceObject

DAYS_AT_ONCE = 4
T = TypeVar("T")


def stretches(days: Sequence[date], objects_of: Callable[[date], Sequence[SourceObject]]) -> Iterator[list[date]]:
    """The days, in their order, in stretches that together are as small as a group of small sites; a larger day is a
    stretch of its own."""
    stretch: list[date] = []
    size = number = 0
    for day in days:
        objects = objects_of(day)
        own = sum(item.size for item in objects)
        if stretch and (size + own > GROUP_BYTES or number + len(objects) > GROUP_OBJECTS):
            yield stretch
            stretch, size, number = [], 0, 0
        stretch.append(day)
        size, number = size + own, number + len(objects)
    if stretch:
        yield stretch


def side_by_side(function: Callable[[date, Turn], T], days: Sequence[date]) -> Iterator[tuple[date, T]]:
    """Yields (day, result) for each day, in their order, while others are worked on.

    Args:
        function: calls its second argument before it compares its day with those before it, which waits until they are
            done.

    If a day raises, days that are being worked on are finished and yielded, no other is begun, and the first error is
    raised at the end.
    """
    error: Exception | None = None
    done = {day: Event() for day in days}
    before = dict(pairwise(reversed(days)))

    def worked(day: date) -> T:
        turn = done[before[day]].wait if day in before else AT_ONCE
        try:
            return function(day, turn)
        finally:
            turn()  # a day that failed before its turn is no sign that those before it are done
            done[day].set()

    with ThreadPoolExecutor(DAYS_AT_ONCE, thread_name_prefix="day") as pool:
        waiting = [pool.submit(copy_context().run, worked, day) for day in days]
        try:
            for day, each in zip(days, waiting, strict=True):
                try:
                    result = each.result()
                except CancelledError:
                    continue
                except Exception as failed:
                    error = error or failed
                    for other in waiting:
                        other.cancel()
                    continue
                yield day, result
        finally:
            for other in waiting:  # after an interruption: what has begun is finished, so that no day is half put
                other.cancel()
    if error is not None:
        raise error
