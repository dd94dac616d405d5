"""Runs tasks in several threads. Results keep the order of the tasks, and memory is bounded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

WAITING_RESULTS = 3  # results of one task before its worker waits for the consumer
TASKS_AHEAD = 3  # tasks that may be started ahead of the consumer, besides one for each worker
_POLL_SECONDS = 0.1
_END = object()


def ordered(
    function: Callable[[Task], Iterable[Result]], tasks: Sequence[Task], workers: int
) -> Generator[tuple[Task, Result], None, None]:
    """Yields (task, result) for each result of each task, task by task, while workers run ahead.

    At most `workers` + `TASKS_AHEAD` tasks are started and not yet consumed. A worker waits after `WAITING_RESULTS`
    results of a task. An error of a task is raised in place of its next result. Closing the generator stops the
    workers.
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
        may_start.release(workers)  # wakes the waiting workers
        for thread in threads:
            thread.join()
