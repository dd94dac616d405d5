"""The seeds of rules are in order, and docs/channels.md shows them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[2]
SEEDS = ROOT / "dbt_project" / "seeds"
DOCS = (ROOT / "docs" / "channels.md").read_text("utf-8")


def seed(name: str) -> list[dict[str, str]]:
    with (SEEDS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["channel_rules", "page_categories", "retargeting_campaigns"])
def test_regular_expressions_mean_the_same_to_every_engine(name: str) -> None:
    for rule in seed(name):
        for column, regex in rule.items():
            if column.endswith("_regex") and regex:
                assert "\\" not in regex, regex
                assert "(?" not in regex, regex
                assert regex == regex.lower(), "it is searched for in lower case"
                re.compile(regex)
                duckdb.execute("select regexp_matches('', ?)", [regex]).fetchall()


@pytest.mark.parametrize("name", ["channel_rules", "page_categories"])
def test_rules_stand_in_the_order_of_their_priority(name: str) -> None:
    priorities = [int(rule["priority"]) for rule in seed(name)]
    assert priorities == sorted(set(priorities))


def test_rules_name_categories_that_sites_have() -> None:
    named = {rule["source_category"] for rule in seed("channel_rules")} - {""}
    assert named <= {site["category"] for site in seed("traffic_sources")}


def test_each_site_has_all_it_needs_in_lower_case_and_each_source_one_category() -> None:
    sites = seed("traffic_sources")
    for site in sites:
        assert all(site.values()), site
        assert list(site.values()) == [value.strip().lower() for value in site.values()], site
        assert not site["site"].startswith("www."), site
    for source in {site["source"] for site in sites}:
        assert len({site["category"] for site in sites if site["source"] == source}) == 1, source


def test_the_docs_show_every_channel_rule() -> None:
    shown = re.findall(r"^\| \d{2,} \| .+$", DOCS, re.MULTILINE)
    assert shown == [
        "| " + " | ".join(cell(column, value) for column, value in rule.items()) + " |"
        for rule in seed("channel_rules")
    ]


def cell(column: str, value: str) -> str:
    return f"`{value}`".replace("|", "\\|") if column.endswith("_regex") and value else value


def test_the_docs_name_every_category_of_pages() -> None:
    assert {rule["category"] for rule in seed("page_categories")} <= set(re.findall(r"`([a-z]+)`", DOCS))
