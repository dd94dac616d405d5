"""Writes tables and lists in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. In a cell, line breaks become blanks and `|` is escaped."""
    lines = [f"|{'|'.join(map(_cell, line))}|" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _cell(text: str) -> str:
    line = one_line(text).replace("|", "\\|")
    return f" {line} " if line else " "


def one_line(text: str) -> str:
    return " ".join(text.split())


def code(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)
