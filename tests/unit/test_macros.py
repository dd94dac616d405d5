"""Macros of the dbt project: each is described, and has users enough to be one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestration.marts.project import manifest as read_manifest
from orchestration.places import DBT_DIR

# What dbt calls by name, from dbt_project.yml or in place of its own.
CALLED_BY_DBT = {
    "prepare_lake",
    "publish_lake",
    "settle_identities",
    "duckdb__get_test_sql",
    "materialization_lake_table_duckdb",
    "materialization_seed_duckdb",
}


@pytest.fixture(scope="module")
def macros() -> dict[str, Any]:
    """Name → macro, of this project; what an engine has of a dispatched macro belongs to that one."""
    own = {each["name"]: each for each in read_manifest()["macros"].values() if each["package_name"] == "clicklake"}
    return {name: each for name, each in own.items() if name.removeprefix("duckdb__") not in own.keys() - {name}}


def test_every_macro_and_its_arguments_are_described(macros: dict[str, Any]) -> None:
    assert {"in_window", "lake_answer", "test_never_null"} <= set(macros)
    assert [name for name, each in macros.items() if not each["description"].strip()] == []
    for name, each in macros.items():
        signature = re.search(r"{%-? *(?:macro|test) +\w+ *\((.*?)\)", each["macro_sql"])
        taken = [argument.partition("=")[0].strip() for argument in signature[1].split(",")] if signature else []
        assert [argument["name"] for argument in each["arguments"]] == [argument for argument in taken if argument], (
            name
        )
        assert all(argument["type"] and argument["description"] for argument in each["arguments"]), name


def test_a_macro_is_called_at_more_than_one_place(macros: dict[str, Any]) -> None:
    """What has one user stands in it. Dispatched macros are apart: they have a user for each engine."""
    texts = [path.read_text("utf-8") for path in DBT_DIR.rglob("*.sql") if "target" not in path.parts]
    texts += [path.read_text("utf-8") for path in (DBT_DIR / "models").rglob("*.yml")]
    single = []
    for name, each in macros.items():
        found = sum(len(re.findall(rf"(?<!macro )(?<![\w.]){name}(?:\(|: )", text)) for text in texts)
        if found < 2 and "adapter.dispatch" not in each["macro_sql"] and not name.startswith("test_"):
            single.append(name)
    assert set(single) == CALLED_BY_DBT


def test_sql_is_linted_with_every_file_of_macros_that_needs_no_dbt() -> None:
    listed = re.search(r"^load_macros_from_path = (.*)$", (DBT_DIR / ".sqlfluff").read_text("utf-8"), re.MULTILINE)
    assert listed
    plain = {
        f"macros/{path.name}"
        for path in (DBT_DIR / "macros").glob("*.sql")
        if not re.search(r"adapter\.|run_query|planned\(\)", path.read_text("utf-8"))
    }
    assert set(listed[1].split(",")) == plain
