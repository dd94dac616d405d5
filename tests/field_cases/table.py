"""A pytest plugin: the table of field cases at the end of a run that tried any."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from tests.field_cases.known import CASES

_TEST = re.compile(r"tests/field_cases/\S*::test_([a-h][0-9]*)_")


def case_of(nodeid: str) -> str | None:
    """The number of the case that a test is named for."""
    found = _TEST.search(nodeid)
    return found[1].upper() if found else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    tried: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            if case := case_of(report.nodeid):
                tried.setdefault(case, Counter())[outcome] += 1
    if tried:
        terminalreporter.section("field cases")
        for case, meaning in CASES.items():
            said = ", ".join(f"{number} {outcome}" for outcome, number in tried.get(case, {}).items())
            terminalreporter.write_line(f"{case:4} {said or 'not in this run':24} {meaning}")
