"""Every command of the runbook, docs/operations.md, is run: in its order, on a day that is good and one that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from orchestration.cli import DONE, FAILED, USAGE
from tests.environment_fixtures import ROOT, Caller, Environment, put_small_day
from tests.event_lines import line, pixel
from tests.log_lines import log
from tests.unit.test_docs import shell_words

pytestmark = [pytest.mark.slow, pytest.mark.long]

SITE, GOOD, BAD, LAST = "shop.example.com", "2026-01-12", "2026-01-13", "2026-01-14"
# Ranges of a month or a year, over the three days that there are.
DATES = {"2026-01-01": GOOD, "2026-01-31": LAST, "2025-01-01": GOOD, "2025-12-31": LAST}
# What needs a running UI: tests/e2e/test_ui.py runs the request as it stands.
OF_THE_UI = {"curl"}
# These tell of a day that is still bad when the runbook comes to them.
STILL_BAD = {
    ("release", BAD, "--table", "access_logs"): "events",
    ("run", "--from", BAD, "--site", SITE): SITE,
}


@pytest.fixture(scope="module")
def has_events() -> bool:
    return True


def commands() -> Iterator[tuple[str, ...]]:
    """Each once, with the dates of this test; in running text commands are named without what they need."""
    seen = {("clicklake", "run"), ("clicklake", "backfill"), ("clicklake", "services"), ("clicklake", "query")}
    seen |= {("clicklake", "dev"), ("clicklake", "dev", "-p", "3001")}  # until Ctrl-C: tests/e2e/test_ui.py starts it
    for words in shell_words(ROOT / "docs" / "operations.md"):
        command = tuple(DATES.get(word, word) for word in words)
        if command not in seen:
            seen.add(command)
            yield command


def test_every_command_of_the_runbook(environment: Environment, call: Caller) -> None:
    for day in (GOOD, BAD, LAST):
        put_small_day(environment, day)
    environment.put_object(f"E1TEST.{BAD}-11.bad.gz", log([b"no\tlog\tline"] * 60))
    for day in (GOOD, BAD, LAST):
        folders = f"domain={SITE}/year={day[:4]}/month={day[5:7]}/day={day[8:]}/hour=10"
        body = b"no event\n" if day == BAD else line(pixel(timestamp=f"{day}T10:00:00Z"))
        environment.put_event_object(f"{folders}/events-{day}-10.jsonl", body)
    assert call("run", "--from", BAD).returncode == FAILED  # so that there is something to look at

    others = set()
    for program, *words in commands():
        if program != "clicklake":
            others.add(program)
            continue
        done = call(*words)
        said = done.stdout + done.stderr
        expected = next((reason for start, reason in STILL_BAD.items() if tuple(words[: len(start)]) == start), None)
        if tuple(words[-2:]) == ("--table", "daily_aggregates"):
            assert (done.returncode, "Nothing of daily_aggregates" in said) == (USAGE, True)  # a mart was never bad
            continue
        assert done.returncode == (FAILED if expected else DONE), (words, said)
        assert (expected or "") in said
        assert not re.search(r"Traceback|\bNone\b", said), (words, said)
    assert others == OF_THE_UI
    assert environment.lake.files("quarantine") == []
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == {GOOD, BAD, LAST}
