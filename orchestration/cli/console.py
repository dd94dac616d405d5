"""How commands show things: tables, progress bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingest.errors import SettingsError
from orchestration.settings import JSON, load_partition_settings

WIDTH_IN_A_LOG = 160
NEVER_WRAPPED = 100_000


def logs_are_json() -> bool:
    try:
        return load_partition_settings().log_format == JSON
    except SettingsError:
        return False  # the command itself says what is wrong


def complain(message: str) -> None:
    """Says on standard error why a command ends."""
    if logs_are_json():
        sys.stderr.write(_json_line(message, "error"))
    else:
        click.echo(f"clicklake: {message}", err=True)


def _json_line(message: str, level: str) -> str:
    time = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "logger": "clicklake", "message": message}) + "\n"


class JsonLines(StringIO):
    """Standard error, each line of text as one JSON object."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            sys.stderr.write(_json_line(line, "info"))
        return len(text)


def _notes() -> Console:
    if logs_are_json():
        return Console(file=JsonLines(), width=NEVER_WRAPPED)
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH_IN_A_LOG)


console = Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_LOG)
notes = _notes()

STATE_STYLES = {"published": "green", "refused": "red", "missing": "dim", "out of date": "yellow", "failed": "red"}


def table(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table: numbers to the right, states in colour."""
    shown = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for position, name in enumerate(columns):
        values = [row[position] for row in rows]
        is_number = bool(values) and all(isinstance(value, int | float) or value is None for value in values)
        shown.add_column(name, justify="right" if is_number else "left", overflow="ellipsis", no_wrap=True)
    for row in rows:
        shown.add_row(*(_cell(value) for value in row))
    console.print(shown)


def _cell(value: Any) -> str:
    if value is None:
        return "[dim]-[/dim]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    text = str(value).replace("[", r"\[")
    style = next((style for state, style in STATE_STYLES.items() if text.startswith(state)), None)
    return f"[{style}]{text}[/{style}]" if style else text


@contextmanager
def step(name: str) -> Iterator[None]:
    """Says what is being done, and how long it took."""
    started = time.monotonic()
    with notes.status(name) if notes.is_terminal else _line(name):
        yield
    if notes.is_terminal:
        notes.print(f"[green]✓[/green] {name} [dim]{time.monotonic() - started:.1f} s[/dim]")


@contextmanager
def _line(name: str) -> Iterator[None]:
    notes.print(f"{name} …", highlight=False)
    yield


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int, int, int], None]]:
    """A progress bar over objects on a terminal; a line for each tenth in a log."""
    if notes.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=notes, transient=True) as progress:
            task = progress.add_task(name, total=total)
            yield lambda done, _total, rows: progress.update(task, completed=done, description=f"{name} {rows:,} rows")
        return
    shown = 0

    def line(done: int, in_all: int, rows: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(in_all, 1)
        if in_all >= 100 and tenth > shown:
            shown = tenth
            notes.print(f"{name}: {done} of {in_all} objects, {rows} rows", highlight=False)

    yield line
