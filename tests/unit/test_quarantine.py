"""`clicklake quarantine`, and what `clicklake release` refuses to release."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from ingest.lake.files import Lake
from orchestration.cli import cli
from orchestration.cli.console import WIDTH_IN_A_LOG, console
from tests.environment_fixtures import HASH_KEY
from tests.event_lines import SITE, Events, pixel
from tests.log_lines import DAY, LogDay, lines, log
from tests.partitions import logs_of

Call = Callable[..., Result]


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    made = LogDay(tmp_path)
    made.add(log([*lines(50), *[b"broken \x1b[31m line"] * 9, b"10.1.2.3 broken"]))
    made.add(b"\x1f\x8b not gzip", "torn", compress=False)
    made.add(log(lines(20, 100)), "fine")
    assert not made.ingest().published
    return made


@pytest.fixture
def call(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> Call:
    for name, value in (("LAKE", day.lake.url), ("LOGS", str(day.logs)), ("HASH_KEY", HASH_KEY)):
        monkeypatch.setenv(f"CLICKLAKE_{name}", value)
    monkeypatch.setattr(console, "width", 200)
    return lambda *words: CliRunner().invoke(cli, words, standalone_mode=True)


def refuse_sites(day: LogDay, *sites: str) -> None:
    events = Events(Path(day.lake.root).parent)
    for site in sites:
        events.write(*(pixel(visitorId=f"v{n}") for n in range(5)), b"{broken", site=site)
        assert not events.ingest(site).published


def test_each_refused_partition_is_a_line(day: LogDay, call: Call) -> None:
    refuse_sites(day, SITE)
    found = [json.loads(text) for text in call("quarantine", "list", "--json").output.splitlines()]
    assert [(each["day"], each["table"], each["site"], each["rows"]) for each in found] == [
        (DAY, "access_logs", None, 80),
        (DAY, "events", SITE, 6),
    ]
    assert [each["checks"] for each in found] == [["objects_readable", "reject_share"], ["reject_share"]]
    assert found[0]["reasons"][1]["figures"]["rows_rejected"] == 10
    assert found[0]["since"].endswith("+00:00")


def test_an_empty_quarantine_says_so(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path / "none"))
    assert call("quarantine", "list", "--json").output == ""
    assert call("quarantine", "list").exit_code == 0


@pytest.mark.parametrize("name", ["access_logs", "raw_access_logs", "raw.access_logs", "quarantine.ACCESS_LOGS"])
def test_a_table_may_be_named_with_its_layer(call: Call, name: str) -> None:
    assert call("quarantine", "show", DAY, "--table", name).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2999-01-13", "--table", "access_logs"], "Nothing of access_logs 2999-01-13 is in quarantine"),
        ([DAY, "--table", "daily_aggregates"], f"Nothing of daily_aggregates {DAY} is in quarantine"),
        ([DAY, "--table", "access_logs", "--site", "a.example"], "of site a.example is in quarantine"),
        ([DAY, "--table", "events"], f"events {DAY} is refused for several sites: a.example, {SITE}. Name one"),
        (["yesterday", "--table", "events"], "yesterday"),
        ([DAY, "--table", "nonsense"], "There is no table nonsense. One of: access_logs, ad_click_sessions"),
        ([DAY, "--table", "events/../../.."], "There is no table events/../../... One of: access_logs"),
        ([DAY, "--table", ""], "There is no table . One of: access_logs"),
        ([DAY, "--table", "marts.sessions"], f"Nothing of sessions {DAY} is in quarantine"),
    ],
)
def test_what_is_not_there_is_neither_shown_nor_released(
    day: LogDay, call: Call, words: list[str], message: str
) -> None:
    refuse_sites(day, SITE, "a.example")
    for command in (["quarantine", "show"], ["release", "--reason", "why"]):
        done = call(*command, *words)
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert day.lake.files("releases") == []


def test_sites_of_any_name_are_told_on_one_line(day: LogDay, call: Call) -> None:
    refuse_sites(day, "a.example", "b\nc")
    for command in (["quarantine", "show"], ["release", "--reason", "why"]):
        assert "several sites: a.example, b\\nc. Name one" in call(*command, DAY, "--table", "events").output


def test_a_release_needs_a_reason_and_something_that_can_be_released(day: LogDay, call: Call) -> None:
    assert "--reason says nothing" in call("release", DAY, "--table", "access_logs", "--reason", "  ").output
    assert "--reason says nothing" in call("release", DAY, "--table", "access_logs", "--reason", "'…'").output
    assert "Missing option '--reason'" in call("release", DAY, "--table", "access_logs").output
    lost = {"table": "access_logs", "day": "2026-01-13", "reasons": [{"check": "rows_accounted", "message": "lost"}]}
    day.lake.put_text(json.dumps(lost), f"{logs_of('2026-01-13').quarantine}/verdict.json")
    done = call("release", DAY, "2026-01-13", "--table", "access_logs", "--reason", "why")
    assert "rows_accounted cannot be released: rows were lost on the way" in done.output
    broken = {
        "table": "sessions",
        "day": DAY,
        "reasons": [{"check": "sessions", "message": "no memory", "failures": None}],
    }
    day.lake.put_text(json.dumps(broken), f"quarantine/sessions/day={DAY}/verdict.json")
    done = call("release", DAY, "--table", "sessions", "--reason", "why")
    assert "sessions cannot be released: it gave no result. no memory" in done.output
    assert day.lake.files("releases") == []


def test_a_day_is_shown_with_what_is_wrong_with_it(day: LogDay, call: Call, shown: Callable[[], str]) -> None:
    assert call("quarantine", "show", DAY, "--table", "access_logs").exit_code == 0
    text = shown()
    assert "objects_readable 1 unreadable" in text
    assert "reject_share 10 of 80 rows rejected (12.5%, limit 5.0%): 10 bad_timestamp" in text
    assert "E1TEST.2026-01-12-10.torn.gz" in text
    assert "\x1b" not in text  # a line of the log must not speak to the terminal
    assert "10.1.2.3" not in text
    assert f"clicklake release {DAY} --table access_logs --reason '…'" in text
    assert "event_ts" in text


def test_refused_rows_are_whole_in_a_log(call: Call, shown: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", WIDTH_IN_A_LOG)
    assert call("quarantine", "show", DAY, "--table", "access_logs").exit_code == 0
    rows = shown().partition("column by column")[2].splitlines()
    cells = {row.split("│")[1].strip(): [cell.strip() for cell in row.split("│")[2:-1]] for row in rows if "│" in row}
    assert cells["event_ts"] == [f"{DAY} 00:00:{second:02}" for second in range(3)]
    assert {"request_id", "path", "source_object", "source_line"} <= set(cells)


def test_an_object_is_named_by_one_check_alone(day: LogDay) -> None:
    """Of one that cannot be read every row is rejected, which need not be said a second time."""
    day.add(log([b"broken"] * 40), "bad")
    reasons = {verdict.check: verdict.message for verdict in day.ingest().refusals}
    assert "E1TEST.2026-01-12-10.bad.gz" in reasons["objects_readable"]
    assert "every row of" not in reasons["reject_share"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What commands have printed through rich, which holds on to the standard output of its start."""
    buffer = StringIO()
    monkeypatch.setattr(console, "_file", buffer)
    return buffer.getvalue


def test_a_mart_is_shown_too(day: LogDay, call: Call, shown: Callable[[], str]) -> None:
    folder = f"quarantine/sessions/day={DAY}"
    lake: Lake = day.lake
    lake.put_table(pa.table({"site_id": ["a", "b"], "nothing": pa.nulls(2)}), f"{folder}/rows/data.parquet")
    reasons = [{"check": "grain", "message": "grain: Got 2 results", "failures": 2}]
    lake.put_text(json.dumps({"table": "sessions", "day": DAY, "reasons": reasons}), f"{folder}/verdict.json")
    assert call("quarantine", "show", DAY, "--table", "sessions").exit_code == 0
    assert "grain Got 2 results" in shown()
    assert call("quarantine", "list").exit_code == 0
    line = next(text for text in shown().splitlines() if text.startswith("│") and "grain" in text)
    assert [cell.strip() for cell in line.strip("│").split("│")][:5] == [DAY, "sessions", "-", "grain", "2"]
