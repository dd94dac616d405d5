"""A pytest plugin: the table of faults at the end of a run, and on request in docs/faults.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.known import FAULTS

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
HEADER = ("fault", "tried", "survived by itself", "recovered by a second run", "rows lost")
BY_ITSELF, BY_SECOND_RUN = "by itself", "by a second run"
PROPERTY = "fault"

Tried = Callable[[str, str, int], None]


@pytest.fixture
def tried(record_property: Callable[[str, Any], None]) -> Tried:
    """Notes that a fault was tried, how it was got over, and how many rows were lost."""

    def note(name: str, outcome: str, lost: int) -> None:
        assert name in FAULTS, name
        record_property(PROPERTY, [name, outcome, lost])

    return note


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-page", action="store_true", help="write the table of faults into docs/faults.md")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ended = [report for report in reports if getattr(report, "when", None) == "call" and report.passed]
    found = [value for report in ended for name, value in report.user_properties if name == PROPERTY]
    if found:
        terminalreporter.section("faults")
        terminalreporter.write(rendered(found))
        if config.getoption("--faults-page"):
            before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
            PAGE.write_text(before + BEGIN + rendered(found) + END + rest.partition(END)[2], "utf-8")


def rendered(found: Iterable[tuple[str, str, int]]) -> str:
    """The table, in Markdown; of a fault that was not tried in this run, where it is tried."""
    tried, outcomes, lost = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for name, outcome, rows in found:
        tried[name] += 1
        outcomes[name, outcome] += 1
        lost[name] += rows
    rows = [HEADER, ("---",) * len(HEADER)]
    for name, elsewhere in FAULTS.items():
        if tried[name]:
            figures = (tried[name], outcomes[name, BY_ITSELF], outcomes[name, BY_SECOND_RUN], lost[name])
            rows.append((name, *map(str, figures)))
        else:
            rows.append((name, f"`{elsewhere}`" if elsewhere else "not in this run", "", "", ""))
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |").replace("|  |", "| |") for row in rows)
