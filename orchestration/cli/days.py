"""Days as arguments of commands and in their output."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from ingest.days import day_text


class Day(click.DateTime):
    """A day, YYYY-MM-DD."""

    def __init__(self) -> None:
        super().__init__(["%Y-%m-%d"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:  # type: ignore[override]
        day = super().convert(value, param, ctx).date()
        if isinstance(value, str) and value != day_text(day):  # strptime also takes 2026-1-2
            self.fail(f"{value!r} does not match the format '%Y-%m-%d'.", param, ctx)
        return day


DAY = Day()


def span(days: Sequence[date]) -> str:
    """Consecutive days as text: the day, or `first … last`."""
    return f"{days[0]}" if len(days) == 1 else f"{days[0]} … {days[-1]}"
