"""Work in several threads, results in the order of the tasks, memory bounded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

WAITING_RESULTS = 3  # of one task, before its worker waits for the consumer
TASKS_AHEAD = 3  # of the consumer, beside those at work
_POLL_SECONDS = 0.1
_END = object()


def ordered(
    function: Callable[[Task], Iterable[Result]], tasks: Sequence[Task], workers: int
) -> Generator[tuple[Task, Result], None, None]:
    """Yields (task, result) for each result of each task, task by task, while workers go ahead.

    Workers are at most `TASKS_AHEAD` tasks more than their number ahead of the consumer, and wait after
    `WAITING_RESULTS` results of a task. An error of a task is raised where its next result would have
    stood. Leaving the loop early stops the workers.
    """
    may_start = threading.Semaphore(workers + TASKS_AHEAD)
    results: list[queue.Queue[object]] = [queue.Queue(WAITING_RESULTS) for _ in tasks]
    numbers = iter(range(len(tasks)))
    lock = threading.Lock()
    stop = threading.Event()

    def hand_over(number: int, item: object) -> None:
        while not stop.is_set():
            try:
                results[number].put(item, timeout=_POLL_SECONDS)
                return
            except queue.Full:
                continue

    def work() -> None:
        while not stop.is_set():
            if not may_start.acquire(timeout=_POLL_SECONDS) or stop.is_set():
                continue
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                for result in function(tasks[number]):
                    hand_over(number, (result,))
                    if stop.is_set():
                        return
                hand_over(number, _END)
            except BaseException as error:
                hand_over(number, error)

    threads = [threading.Thread(target=work, daemon=True, name=f"ingest-{n}") for n in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for number, task in enumerate(tasks):
            while (item := results[number].get()) is not _END:
                if isinstance(item, BaseException):
                    raise item
                yield task, item[0]  # type: ignore[index]
            may_start.release()
    finally:
        stop.set()
        may_start.release(workers)  # whoever waits need not wait any longer
        for thread in threads:
            thread.join()
