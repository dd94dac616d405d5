"""Which mart a dbt test judges: one, or parts of the project could not be built alone; and which marts restate."""

from __future__ import annotations

from typing import Any

import pytest

from orchestration.marts.project import manifest as read_manifest
from orchestration.marts.project import prepare


@pytest.fixture(scope="module")
def nodes() -> dict[str, Any]:
    prepare()
    found: dict[str, Any] = read_manifest()["nodes"]
    return found


def ancestors(nodes: dict[str, Any], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for parent in nodes[waiting.pop()]["depends_on"].get("nodes", []):
            if parent in nodes and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def test_a_test_that_can_refuse_judges_the_one_mart_that_is_made_from_its_others(nodes: dict[str, Any]) -> None:
    """Were there two, `--select +<one of them>` would leave the test out, and so never publish that one."""
    for node in nodes.values():
        if node["resource_type"] != "test" or node["config"]["severity"].lower() != "error":
            continue
        parents = [parent for parent in node["depends_on"]["nodes"] if parent in nodes]
        marts = [parent for parent in parents if nodes[parent]["config"]["materialized"] == "lake_table"]
        judged = [mart for mart in marts if not any(mart in ancestors(nodes, other) for other in marts)]
        names = " and ".join(nodes[mart]["name"] for mart in judged)
        assert len(judged) <= 1, f"{node['name']} judges {names}, and none of them is made from the others"


def test_a_mart_that_is_made_from_one_that_restates_restates_itself(nodes: dict[str, Any]) -> None:
    """Else its days around the window would keep what they were made of before. A snapshot is made anew each time."""
    by_day = {id_ for id_, node in nodes.items() if node["config"].get("partition_by")}
    restating = {id_ for id_ in by_day if nodes[id_]["config"].get("restates")}
    assert restating
    assert {id_ for id_ in by_day - restating if ancestors(nodes, id_) & restating} == set()
