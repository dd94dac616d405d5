"""The reference in docs/reference is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest.schema import ACCESS_LOGS, EVENTS
from orchestration.catalog import documented
from orchestration.operations.alerts import KINDS
from tools.reference import FOLDER, PAGES, pages
from tools.reference.checks import generic_tests, sql_tests
from tools.reference.markdown import table
from tools.reference.running import _gauges

ROOT = Path(__file__).parents[2]
MADE = pages()


@pytest.mark.parametrize("name", sorted(MADE))
def test_a_page_is_that_of_the_code(name: str) -> None:
    path = FOLDER / name
    assert path.exists(), "write it anew: make reference"
    assert path.read_text("utf-8") == MADE[name], "write it anew: make reference"


def test_no_page_is_left_over() -> None:
    assert {path.name for path in FOLDER.glob("*")} == set(MADE), "write it anew: make reference"


def test_pages_are_the_same_each_time_and_name_no_place_of_this_machine() -> None:
    assert pages() == MADE
    assert [name for name, text in MADE.items() if str(ROOT) in text or str(Path.home()) in text] == []


def test_the_index_names_every_page() -> None:
    assert set(re.findall(r"\]\(([^)]+)\)", MADE["README.md"])) == set(PAGES)


def test_every_table_of_raw_has_its_columns() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", MADE["tables.md"], re.MULTILINE))
    assert named >= {each.name for each in (*ACCESS_LOGS, *EVENTS)}


def test_every_mart_has_its_key_and_columns() -> None:
    text = MADE["marts.md"]
    marts = {name.removeprefix("marts."): mart for name, mart in documented().items() if name.startswith("marts.")}
    del marts["data_quality"]
    for name, mart in marts.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]* \|$", section, re.MULTILINE))
        assert {column: kind for column, (kind, _) in mart.columns.items()} == rows, name
        assert f"- Key: {', '.join(f'`{each}`' for each in mart.grain.split(', '))}\n" in section, name


def test_every_dbt_test_says_what_it_asks_for() -> None:
    assert [name for name, meaning in generic_tests().items() if not meaning] == []
    assert [test.name for test in sql_tests() if not test.meaning or not test.refs] == []


def test_every_kind_of_alert_is_listed() -> None:
    assert re.findall(r"^\| `(\w+)` \|", MADE["alerts.md"], re.MULTILINE) == [kind.name for kind in KINDS]


def test_a_metric_is_read_with_its_labels() -> None:
    source = 'b = _gauge("two", "Second", ["a", "b"])\nc = [_gauge("three", "Third")]\n'
    assert list(_gauges(source)) == [["`clicklake_two`", "`a`, `b`", "Second"], ["`clicklake_three`", "", "Third"]]


def test_a_cell_breaks_no_table() -> None:
    assert table(["a", "b"], [["x|y", ""], ["one\ntwo", "z"]]).splitlines()[2:] == [
        "| x\\|y | |",
        "| one two | z |",
    ]
