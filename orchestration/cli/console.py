"""The output of commands: tables, progress bars on a terminal, plain lines elsewhere.

All text is printed escaped, and markup in it is not read, because names come from outside.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console, JustifyMethod, OverflowMethod
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from ingest.errors import SettingsError
from ingest.shown import shown, shown_lines
from orchestration.settings import JSON, load_partition_settings

WIDTH_IN_A_LOG = 160
NEVER_WRAPPED = 100_000
NARROWEST_WRAPPED = 16  # characters of a column whose texts take several lines
NARROWEST_HEADER = 6


def logs_are_json() -> bool:
    try:
        return load_partition_settings().log_format == JSON
    except SettingsError:
        return False  # the command itself reports the error


def complain(message: str) -> None:
    """Prints on standard error why a command ends."""
    if logs_are_json():
        sys.stderr.write(_json_line(message, "error"))
    else:
        click.echo(f"clicklake: {shown_lines(message)}", err=True)


def _json_line(message: str, level: str) -> str:
    time = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "level": level, "logger": "clicklake", "message": message}) + "\n"


class JsonLines(StringIO):
    """Writes each line of text to standard error as one JSON object."""

    def write(self, text: str) -> int:
        for line in filter(None, map(str.strip, text.splitlines())):
            sys.stderr.write(_json_line(line, "info"))
        return len(text)


class SafeConsole(Console):
    """A console that prints text literally: it reads no markup, link, emoji name or escape sequence."""

    def print(self, *objects: Any, highlight: bool | None = False, **options: Any) -> None:
        super().print(*objects, highlight=highlight, **options)

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        **_: Any,
    ) -> Text:
        return Text(shown_lines(text), style=style, justify=justify, overflow=overflow)


def _notes() -> Console:
    if logs_are_json():
        return SafeConsole(file=JsonLines(), width=NEVER_WRAPPED)
    return SafeConsole(stderr=True, width=None if sys.stderr.isatty() else WIDTH_IN_A_LOG)


console = SafeConsole(width=None if sys.stdout.isatty() else WIDTH_IN_A_LOG)
notes = _notes()

STATE_STYLES = {
    "published": "green", "refused": "red", "missing": "dim", "out of date": "yellow", "failed": "red",
    "unreadable": "red", "partly refused": "red", "partly missing": "yellow", "objects gone": "yellow",
}  # fmt: skip


def line(*parts: str | tuple[str, str], to: Console = console) -> None:
    """Prints one line, however long, from texts and (text, style) pairs."""
    pieces = [(shown(part), "") if isinstance(part, str) else (shown(part[0]), part[1]) for part in parts]
    to.print(Text.assemble(*pieces), soft_wrap=True)


def table(
    title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Any]], wrapped: Sequence[str] = ()
) -> None:
    """Prints a table: numbers to the right, states in colour, a blank line before its title.

    Args:
        wrapped: columns whose texts take several lines. If the terminal is too narrow for the others, headers take
            several lines too; if that is not enough, each row is printed as a block of lines.
    """
    if title:
        console.print()
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max((cell_len(row[at].plain) for row in cells), default=0) for at in range(len(columns))]
    at_most = [NARROWEST_WRAPPED if name in wrapped else NEVER_WRAPPED for name in columns]
    needed = list(map(min, widths, at_most))
    names = [shown(name) for name in columns]
    if rows and not _fits(names, needed):
        names = [_in_lines(name, max(width, NARROWEST_HEADER)) for name, width in zip(names, needed, strict=True)]
        if not _fits(names, needed):
            _records(title, columns, cells)
            return
    made = Table(title=Text(shown(title)) if title else None, title_justify="left", title_style="bold")
    made.header_style = "bold"
    for position, name in enumerate(columns):
        values = [row[position] for row in rows]
        is_number = bool(values) and all(isinstance(value, int | float) or value is None for value in values)
        is_wrapped = name in wrapped
        made.add_column(
            Text(names[position]),
            justify="right" if is_number else "left",
            overflow="fold" if is_wrapped else "ellipsis",
            no_wrap=not is_wrapped,
        )
    for row in cells:
        made.add_row(*row)
    console.print(made)


def _fits(names: Sequence[str], widths: Sequence[int]) -> bool:
    """Whether columns with these headers and values fit the terminal; always true for other outputs."""
    headers = [max(map(cell_len, name.split("\n"))) for name in names]
    room = sum(map(max, headers, widths)) + 3 * len(names) + 1
    return room <= console.width or not console.is_terminal


def _in_lines(name: str, width: int) -> str:
    """A header in lines of this width, as far as its words allow."""
    lines = [""]
    for word in re.findall(r"[^ ._]+[ ._]*", name):
        if lines[-1] and cell_len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(each.rstrip() for each in lines)


def _records(title: str | None, columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Prints each row as a block with a line for each value, because days that are cut off all look the same."""
    if title:
        line((title, "bold"))
    widest = max(cell_len(shown(name)) for name in columns)
    for number, row in enumerate(rows):
        if number:
            console.print()
        for name, cell in zip(columns, row, strict=True):
            console.print(Text.assemble((f"{shown(name):{widest}}  ", "bold"), cell), soft_wrap=True)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("-", "dim")
    if isinstance(value, bool):
        return Text(str(value).lower())
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, float):
        return Text(f"{value:,.2f}")
    text = shown(value)
    style = next((style for state, style in STATE_STYLES.items() if text.startswith(state)), "")
    return Text(text, style)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Prints what is being done, and how long it took."""
    started = time.monotonic()
    with notes.status(Text(shown(name))) if notes.is_terminal else _announced(name):
        yield
    if notes.is_terminal:
        line(("✓ ", "green"), name, (f" {time.monotonic() - started:.1f} s", "dim"), to=notes)


@contextmanager
def _announced(name: str) -> Iterator[None]:
    notes.print(f"{name} …")
    yield


@contextmanager
def bar(
    name: str, total: int, units: tuple[str, str] = ("objects", "rows")
) -> Iterator[Callable[[int, int, int], None]]:
    """A progress bar over objects on a terminal; in a log, a line for each tenth of at least 100 objects.

    Args:
        units: what is counted, and what these hold.
    """
    things, contents = units
    if notes.is_terminal:
        name = shown(name)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=notes, transient=True) as progress:
            task = progress.add_task(name, total=total)
            yield lambda done, _total, rows: progress.update(
                task, completed=done, description=f"{name} {rows:,} {contents}"
            )
        return
    said = 0

    def tell(done: int, in_all: int, rows: int) -> None:
        nonlocal said
        tenth = 10 * done // max(in_all, 1)
        if in_all >= 100 and tenth > said:
            said = tenth
            notes.print(f"{name}: {done} of {in_all} {things}, {rows} {contents}")

    yield tell
