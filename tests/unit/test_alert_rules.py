"""The rules of alerts: one file each, found by itself, stated in the docs."""

from __future__ import annotations

import re
from pathlib import Path

from orchestration.alerts.rules import RULES
from orchestration.operations.alerts import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "alerts.md").read_text("utf-8")


def test_each_file_is_a_rule() -> None:
    files = {path.stem for path in (ROOT / "orchestration" / "alerts" / "rules").glob("[!_]*.py")}
    assert len(RULES) == len(files) == len({rule.about for rule in RULES})
    assert {rule.find.__module__.rpartition(".")[2] for rule in RULES} == files


def test_no_two_rules_find_alerts_of_a_kind() -> None:
    assert len(set(KINDS)) == len(KINDS) == 1 + sum(len(rule.kinds) for rule in RULES)


def test_the_page_states_each_kind() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert table >= set(KINDS), f"docs/alerts.md, table of kinds: add a row for {sorted(set(KINDS) - table)}"
