"""What `clicklake run` says at its end, and how commands name what they take."""

from __future__ import annotations

import json
import shlex
from datetime import date
from io import StringIO
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ingest.days import day_text, parse_day
from ingest.lake.files import Lake
from orchestration.cli import cli
from orchestration.cli.console import console, notes
from orchestration.cli.demo import _show_next
from orchestration.cli.pipeline import PipelineResult
from orchestration.cli.summary import _in_quarantine, _print_warnings, _state, days_by_state, print_summary

DAY = parse_day("2026-01-12")
RAW, MART, ENTRIES = ("raw_access_logs", DAY), ("daily_aggregates", DAY), ("performance_entries", DAY)
SESSIONS = ("sessions", DAY)


@pytest.mark.parametrize(
    ("done", "bad", "refused", "state"),
    [
        ((RAW, MART, ENTRIES), False, (), "published"),
        ((RAW, MART), False, (), "published"),
        ((RAW,), False, (), "missing"),
        ((RAW, MART, ENTRIES), True, ("reject_share",), "partly refused"),  # such as the events of one site
        ((), True, ("reject_share",), "refused"),
        ((), True, ("reject_share", "objects_present"), "refused"),
        ((), True, ("objects_present",), "missing"),
        ((RAW, MART), True, ("objects_present",), "partly missing"),  # of logs and events one was not delivered
        ((SESSIONS,), True, ("objects_present",), "partly missing"),
        ((RAW, MART), True, (), "failed"),
    ],
)
def test_the_state_of_a_day(
    done: tuple[tuple[str, date], ...], bad: bool, refused: tuple[str, ...], state: str
) -> None:
    result = PipelineResult([DAY], {each: {} for each in done})
    result.bad = {DAY: "why"} if bad else {}
    result.refused = {DAY: {("events", check) for check in refused}} if refused else {}
    assert _state(result, DAY) == state


def test_the_last_line_says_how_many_days_are_in_which_state() -> None:
    result = PipelineResult([DAY, parse_day("2026-01-13")], {MART: {}})
    result.bad = {DAY: "why", parse_day("2026-01-11"): "why"}
    result.refused = {DAY: {("events", "reject_share")}}
    assert days_by_state(result) == "3 days: 1 failed, 1 missing, 1 partly refused (the rest is published)"
    assert days_by_state(PipelineResult([DAY], {MART: {}})) == "1 day: 1 published"


def test_without_logs_a_run_counts_what_it_built(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = StringIO()
    monkeypatch.setattr(console, "_file", buffer)
    rows = "dagster/partition_row_count"
    built = {SESSIONS: {rows: 3}, ("visitors", DAY): {rows: 4}, ("int_pages", DAY): {"seconds": 1.0}}
    print_summary(PipelineResult([DAY], built))
    assert _cells(buffer) == [[str(DAY), "2", "7", "published"], ["2", "7"]]
    buffer.truncate(0)
    print_summary(PipelineResult([DAY], {**built, MART: {rows: 5}}))
    assert _cells(buffer)[0] == [str(DAY), *"-----", "5", "-", "-", "published"]


def _cells(buffer: StringIO) -> list[list[str]]:
    lines = [each.strip("\0│ ") for each in buffer.getvalue().splitlines() if each.lstrip("\0").startswith("│")]
    return [[cell.strip() for cell in each.split("│")] for each in lines]


def test_a_warning_of_several_days_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = StringIO()
    monkeypatch.setattr(notes, "_file", buffer)
    result = PipelineResult(
        [DAY], warnings={"campaign_entries: known: a code": [DAY, parse_day("2026-01-11")], "b: c": [DAY]}
    )
    result.add(PipelineResult([DAY], warnings={"campaign_entries: known: a code": [parse_day("2026-01-13")]}))
    _print_warnings(result)
    assert buffer.getvalue().splitlines() == [
        "warning 2026-01-11, 2026-01-12, 2026-01-13: campaign_entries: known: a code",
        "warning 2026-01-12: b: c",
    ]


def test_an_older_refusal_of_raw_is_not_shown_as_if_the_run_had_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path))
    lake = Lake(str(tmp_path))
    for table in ("events", "access_logs", "sessions"):
        verdict = {"table": table, "day": day_text(DAY), "reasons": [{"check": "c", "message": "m"}]}
        lake.put_text(json.dumps(verdict), f"quarantine/{table}/day={DAY}/verdict.json")
    result = PipelineResult([DAY], refused={DAY: {("access_logs", "reject_share")}})
    assert [each.partition.table for each in _in_quarantine(result)] == ["access_logs", "sessions"]


def test_the_demo_ends_with_commands_that_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = StringIO()
    monkeypatch.setattr(console, "_file", buffer)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    _show_next(tmp_path, {DAY: "why"})
    commands = [text.strip() for text in buffer.getvalue().splitlines() if text.startswith("  ")]
    assert commands[:2] == [f". {tmp_path}/bin/activate", f"export CLICKLAKE_LAKE={tmp_path}/lake"]
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path / "lake"))
    Lake(str(tmp_path / "lake")).put_text("", "raw/nothing")
    for command in (shlex.split(text)[1:] for text in commands[2:] if " query " not in text):
        assert CliRunner().invoke(cli, command).exit_code == 0, command


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
