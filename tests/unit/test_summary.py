"""What `clicklake run` says at its end, and how commands name what they take."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from orchestration.cli import cli
from orchestration.cli.pipeline import PipelineResult
from orchestration.cli.summary import _state

DAY = "2026-01-12"
RAW, MART, ENTRIES = ("raw_access_logs", DAY), ("daily_aggregates", DAY), ("performance_entries", DAY)


@pytest.mark.parametrize(
    ("done", "bad", "refused", "state"),
    [
        ((RAW, MART, ENTRIES), False, False, "published"),
        ((RAW, MART), False, False, "published"),
        ((RAW,), False, False, "missing"),
        ((RAW, MART, ENTRIES), True, True, "partly refused"),  # such as the events of one site
        ((), True, True, "refused"),
        ((RAW, MART), True, False, "failed"),
    ],
)
def test_the_state_of_a_day(done: tuple[tuple[str, str], ...], bad: bool, refused: bool, state: str) -> None:
    result = PipelineResult([DAY], {each: {} for each in done})
    result.bad = {DAY: "why"} if bad else {}
    result.refused = {DAY} if refused else set()
    assert _state(result, DAY) == state


def test_no_usage_shows_the_format_of_a_date() -> None:
    def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        found = []
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            inner = commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
            found += inner
        return found

    for path in commands(cli):
        assert "%Y" not in CliRunner().invoke(cli, [*path, "--help"]).output, path
