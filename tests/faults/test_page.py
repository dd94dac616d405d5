"""docs/faults.md and the tests name the same faults. Figures are the last run's, and are not compared."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.known import FAULTS
from tests.faults.table import BEGIN, BY_ITSELF, BY_SECOND_RUN, END, PAGE, rendered

ROOT = Path(__file__).parents[2]


def test_the_page_lists_every_fault() -> None:
    table = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", table, re.MULTILINE)
    assert [name for name, _ in rows[2:]] == list(FAULTS)
    assert [name for name, tried in rows[2:] if not re.match(r"\d|`tests/", tried)] == []


def test_every_fault_is_tried_somewhere() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name, elsewhere in FAULTS.items() if not elsewhere and f'"{name}"' not in sources] == []
    assert [path for path in FAULTS.values() if path and not (ROOT / path).exists()] == []


def test_the_table_counts() -> None:
    name, other = list(FAULTS)[:2]
    table = rendered([(name, BY_ITSELF, 0), (name, BY_SECOND_RUN, 0), (other, BY_SECOND_RUN, 3)])
    assert f"| {name} | 2 | 1 | 1 | 0 |" in table
    assert f"| {other} | 1 | 0 | 1 | 3 |" in table
