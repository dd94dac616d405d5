"""The nodes of a dbt project and the nodes that each of them reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dbt_project.planning.window import NOTHING_AROUND, Around
from ingest.lake.layout import Mart

LAKE_TABLE = "lake_table"


@dataclass(frozen=True)
class Node:
    """A model, seed, source or test.

    Args:
        id: dbt's unique id.
        name: name of the model or test; for a source, name of its table.
        kind: dbt's resource type.
        parents: ids of the nodes that this node reads.
        partition_by: date column of a lake_table; None makes it a snapshot, one file of the whole history.
        restates: published days around the window that a run builds again with the window.
        neighbour_days: number of published days on each side of the window that the model's view also shows; `all`
            days, or the `unsettled`, which are all after those that are summed up (settled.py).
        scope_of, scope: for a source: the run reads the days that this model builds, and `scope` days around each.
        rows_of: raw dataset whose columns come before the node's own columns.
        severity: severity of a test.
    """

    id: str
    name: str
    kind: str
    parents: tuple[str, ...] = ()
    materialized: str = ""
    partition_by: str | None = None
    restates: Around | None = None
    neighbour_days: int | Literal["all", "unsettled"] = 0
    scope_of: str | None = None
    scope: Around = NOTHING_AROUND
    rows_of: str | None = None
    severity: str = "error"

    @property
    def is_lake_table(self) -> bool:
        return self.kind == "model" and self.materialized == LAKE_TABLE

    @property
    def is_snapshot(self) -> bool:
        return not self.partition_by

    @property
    def mart(self) -> Mart:
        """The mart that holds a lake_table's files in the lake."""
        return Mart(self.name, self.partition_by)

    @property
    def path_columns(self) -> list[str]:
        """The date columns whose values stand in the paths of the node's files."""
        if self.kind == "source":
            return ["event_date", "source_date"]
        return [self.partition_by] if self.partition_by else []


def node_of(described: Mapping[str, Any], rules: Mapping[str, Any] | None = None) -> Node:
    """A node from the description that the macro `asked_plan` gives: id, name, kind, parents, and dbt's config. The
    config's `meta` holds `rows_of` and a source's scope.

    Args:
        rules: variable → value. `restates` may name a variable, `before_too`, whose days are added to those before.
    """
    config = described["config"]
    restates, meta = config.get("restates"), config.get("meta") or {}
    if restates and (more := restates.get("before_too")):
        restates = {**restates, "before": restates["before"] + int((rules or {})[more])}
    return Node(
        id=described["id"],
        name=described["name"],
        kind=described["kind"],
        parents=tuple(described["parents"]),
        materialized=config.get("materialized") or "",
        partition_by=config.get("partition_by"),
        restates=Around(restates["before"], restates["after"]) if restates else None,
        neighbour_days=config.get("neighbour_days") or 0,
        scope_of=meta.get("scope_of"),
        scope=Around(meta.get("before", 0), meta.get("after", 0)),
        rows_of=meta.get("rows_of"),
        severity=(config.get("severity") or "error").lower(),
    )


@dataclass
class Graph:
    """All nodes in dbt's order, and the ids of the nodes that a command has selected."""

    nodes: Mapping[str, Node]
    selected: frozenset[str]
    _ancestors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, nodes: Iterable[Node], selected: Iterable[str]) -> Graph:
        return cls({node.id: node for node in nodes}, frozenset(selected))

    def model(self, name: str) -> Node | None:
        return next((node for node in self.nodes.values() if node.kind == "model" and node.name == name), None)

    @property
    def tests(self) -> list[Node]:
        """The selected tests."""
        return [node for node in self.nodes.values() if node.kind == "test" and node.id in self.selected]

    def ancestors(self, id_: str) -> list[str]:
        """Ids of all direct and indirect parents of a node, nearest first."""
        if id_ not in self._ancestors:
            found = dict.fromkeys(self.nodes[id_].parents)
            queue = list(found)
            for above in queue:  # the loop itself appends to the queue
                for parent in self.nodes[above].parents if above in self.nodes else ():
                    if parent not in found:
                        found[parent] = None
                        queue.append(parent)
            self._ancestors[id_] = queue
        return self._ancestors[id_]

    def sources_above(self, node: Node) -> list[Node]:
        above = (self.nodes.get(each) for each in self.ancestors(node.id))
        return [each for each in above if each and each.kind == "source"]

    def judged_by(self, test: Node) -> list[Node]:
        """The lake_tables that a test may stop. A test judges each lake_table that it reads, unless another of them is
        made from that one: a test that compares a mart with its parent judges the mart."""
        read = [self.nodes[each] for each in test.parents if each in self.nodes and self.nodes[each].is_lake_table]
        above = {ancestor for node in read for ancestor in self.ancestors(node.id)}
        return [node for node in read if node.id not in above]

    def blocking_tests(self, node: Node) -> list[Node]:
        """The data tests that stop a lake_table's publication: the tests of severity error that judge it."""
        tests = (each for each in self.nodes.values() if each.kind == "test" and node.id in each.parents)
        return [test for test in tests if test.severity == "error" and node in self.judged_by(test)]
