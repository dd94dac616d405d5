"""Progress of long work: lines in the log, or what the command line shows instead."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import dagster as dg

Advance = Callable[[int, int, int], None]  # done, in all, rows so far
SECONDS_BETWEEN_LINES = 10

# A command that runs in this process sets both: to draw a bar, and to print a line.
drawer: ContextVar[Callable[[str, int], AbstractContextManager[Advance]] | None] = ContextVar("drawer", default=None)
teller: ContextVar[Callable[[str], None] | None] = ContextVar("teller", default=None)


def tell(context: dg.AssetExecutionContext, text: str) -> None:
    """Prints a line on the command line, or logs it if no command runs in this process."""
    (teller.get() or context.log.info)(text)


@contextmanager
def task(context: dg.AssetExecutionContext, name: str, total: int) -> Iterator[Advance]:
    draw = drawer.get()
    if draw is not None:
        with draw(name, total) as advance:
            yield advance
        return
    last = time.monotonic()

    def log(done: int, in_all: int, rows: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            context.log.info(f"{name}: {done} of {in_all} objects, {rows} rows")

    yield log


@contextmanager
def without_bars() -> Iterator[None]:
    """Draws no bar for tasks in this context: they are parts of one that has a bar."""
    token = drawer.set(lambda _name, _total: nullcontext(lambda _done, _in_all, _rows: None))
    try:
        yield
    finally:
        drawer.reset(token)
