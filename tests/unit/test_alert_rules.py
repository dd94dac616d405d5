"""The rules of alerts: one file each, found by itself, stated in its module and so in the reference."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from orchestration.alerts.rule import Rule
from orchestration.alerts.rules import RULES
from orchestration.operations.alerts import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "alerts.md").read_text("utf-8")


def test_each_file_is_a_rule() -> None:
    files = {path.stem for path in (ROOT / "orchestration" / "alerts" / "rules").glob("[!_]*.py")}
    assert len(RULES) == len(files) == len({rule.about for rule in RULES})
    assert {rule.find.__module__.rpartition(".")[2] for rule in RULES} == files


def test_no_two_rules_find_alerts_of_a_kind() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) == len(KINDS) == 1 + sum(len(rule.kinds) for rule in RULES)


def test_the_page_states_each_kind() -> None:
    table = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    assert table >= {kind.name for kind in KINDS}, "write it anew: make reference"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.about)
def test_each_rule_is_stated_in_its_module(rule: Rule) -> None:
    title, _, stated = (import_module(rule.find.__module__).__doc__ or "").partition("\n\n")
    assert [name for name in rule.names if f"`{name}`" not in title] == []
    assert len(stated) > 100
