"""Who is whom, against plain Python: union-find, Kruskal's algorithm, and a replay of time."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dbt_project.identity_graph import Graph, Identities, absorptions, as_of_days, clusters, resolve

pytestmark = pytest.mark.slow

VISITOR, USER, FINGERPRINT = 0, 1, 2
WORTH = {VISITOR: 0.95, USER: 1.0, FINGERPRINT: 0.87}


@dataclass(frozen=True)
class Case:
    """A small graph: the type of each node, and pairs of nodes by time."""

    types: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    limit: int = 99
    merges_users: bool = False

    def graph(self) -> Graph:
        kinds = np.array(self.types, dtype=np.int64)
        ends = np.array(self.edges, dtype=np.int64).reshape(-1, 2)
        return Graph(
            types=kinds,
            is_weak=kinds == FINGERPRINT,
            max_neighbours=np.full(len(kinds), self.limit),
            is_one_person=(kinds == USER) & (not self.merges_users),
            older=ends.min(axis=1),
            younger=ends.max(axis=1),
            confidence=np.array([self.worth(edge) for edge in self.edges], dtype=np.float64),
        )

    def worth(self, edge: tuple[int, int]) -> float:
        types = {self.types[node] for node in edge}
        return WORTH[FINGERPRINT if FINGERPRINT in types else USER if USER in types else VISITOR]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size = draw(st.integers(1, 12))
    types = draw(st.lists(st.sampled_from([VISITOR, VISITOR, USER, FINGERPRINT]), min_size=size, max_size=size))
    pairs = [(a, b) for b in range(size) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    return Case(tuple(types), tuple(edges), draw(st.integers(1, 6)), draw(st.booleans()))


class Reference:
    """Sets of nodes, joined edge by edge: slow, and plainly right."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.shared = {node for node in range(len(case.types)) if self._most_neighbours(node) > case.limit}
        self.identity = {node: {node} for node in range(len(case.types))}
        self.tree: list[int] = []
        by_strength = sorted(range(len(case.edges)), key=lambda edge: (-case.worth(case.edges[edge]), edge))
        for edge in by_strength:
            a, b = case.edges[edge]
            if not {a, b} & self.shared and self.may_join(a, b):
                self.join(a, b)
                self.tree.append(edge)

    def _most_neighbours(self, node: int) -> int:
        around = [other for edge in self.case.edges for other in edge if node in edge and other != node]
        types = [self.case.types[other] for other in around]
        return max((types.count(kind) for kind in set(types)), default=0)

    def may_join(self, a: int, b: int) -> bool:
        together = self.identity[a] | self.identity[b]
        users = [node for node in together if self.case.types[node] == USER]
        return self.identity[a] is not self.identity[b] and (self.case.merges_users or len(users) < 2)

    def join(self, a: int, b: int) -> None:
        together = self.identity[a] | self.identity[b]
        for node in together:
            self.identity[node] = together

    def roots(self) -> list[int]:
        return [min(self.identity[node]) for node in range(len(self.case.types))]

    def confidences(self) -> list[float]:
        """Fingerprints that hang at one edge are left out: they join nobody."""
        ends = [node for edge in self.tree for node in self.case.edges[edge]]
        hanging = {node for node in ends if self.case.types[node] == FINGERPRINT and ends.count(node) == 1}
        worth: dict[int, float] = {}
        for edge in self.tree:
            a, b = self.case.edges[edge]
            if not {a, b} & hanging:
                worth[min(self.identity[a])] = min(
                    worth.get(min(self.identity[a]), 1.0), self.case.worth(self.case.edges[edge])
                )
        return [worth.get(root, 1.0) for root in self.roots()]

    def absorptions(self) -> dict[int, tuple[int, int]]:
        """Time again from its beginning, by the edges that count: the older identity takes the younger one in."""
        identity = {node: {node} for node in range(len(self.case.types))}
        taken = {}
        for edge in sorted(self.tree):
            a, b = self.case.edges[edge]
            old, young = sorted((min(identity[a]), min(identity[b])))
            taken[young] = (old, edge)
            together = identity[a] | identity[b]
            for node in together:
                identity[node] = together
        return taken


@given(cases())
@settings(max_examples=400, deadline=None)
def test_identities_are_those_of_a_plain_union_find(case: Case) -> None:
    expected, found = Reference(case), resolve(case.graph())
    assert found.root.tolist() == expected.roots()
    assert set(np.flatnonzero(found.is_shared).tolist()) == expected.shared
    assert found.tree.tolist() == sorted(expected.tree)
    assert found.confidence.tolist() == pytest.approx(expected.confidences())


@given(cases(), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_every_identity_but_the_oldest_is_taken_in_once(case: Case, piece: int) -> None:
    graph = case.graph()
    found = resolve(graph)
    with patch("dbt_project.identity_graph.PIECE", piece):
        taken_by, edge_of = absorptions(graph, found)
    taken = {n: (int(taken_by[n]), int(edge_of[n])) for n in np.flatnonzero(taken_by >= 0).tolist()}
    assert taken == Reference(case).absorptions()
    assert set(taken) == {node for node in range(graph.size) if found.root[node] != node}


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_a_day_knows_what_was_known_then(case: Case, rng: random.Random) -> None:
    """The state of a day is the state of the graph cut off behind it, for those who were seen."""
    days = 3
    node_day = sorted(rng.randrange(days) for _ in case.types)
    edge_day = [max(node_day[a], node_day[b], rng.randrange(days)) for a, b in case.edges]
    by_time = sorted(range(len(case.edges)), key=lambda edge: edge_day[edge])
    case = replace(case, edges=tuple(case.edges[edge] for edge in by_time))
    edge_day = [edge_day[edge] for edge in by_time]
    seen = {
        day: np.array([node for node in range(len(case.types)) if node_day[node] <= day and rng.random() < 0.4])
        for day in range(days)
    }
    seen = {day: nodes.astype(np.int64) for day, nodes in seen.items()}
    for day, nodes, identities in as_of_days(case.graph(), np.array(node_day), np.array(edge_day), seen):
        known = [node for node in range(len(case.types)) if node_day[node] <= day]
        edges = tuple(edge for edge, of in zip(case.edges, edge_day, strict=True) if of <= day)
        cut = Reference(replace(case, types=tuple(case.types[node] for node in known), edges=edges))
        wanted = {cut.roots()[node] for node in seen[day]}
        expected = {node: root for node, root in enumerate(cut.roots()) if root in wanted}
        assert dict(zip(nodes.tolist(), identities.root.tolist(), strict=True)) == expected
        confidences = [cut.confidences()[node] for node in nodes]
        assert identities.confidence.tolist() == pytest.approx(confidences)


@given(cases(), st.randoms(use_true_random=False))
@settings(max_examples=600, deadline=None)
def test_a_summary_and_what_touches_it_give_the_same_people_as_the_whole(case: Case, rng: random.Random) -> None:
    """Only clusters with a node that was seen after the summary are solved again, with the edges that lie in them."""
    graph = case.graph()
    late_edges = np.array([rng.random() < 0.3 for _ in case.edges], dtype=bool)
    late_nodes = np.array([rng.random() < 0.2 for _ in case.types], dtype=bool)
    late_edges |= late_nodes[graph.older] | late_nodes[graph.younger]
    seen_again = np.array([rng.random() < 0.2 for _ in case.types], dtype=bool)
    seen_late = late_nodes | seen_again
    seen_late[graph.older[late_edges]] = seen_late[graph.younger[late_edges]] = True

    cluster, was_shared = clusters(graph, ~late_nodes, ~late_edges)
    is_touched = seen_late | np.isin(cluster, cluster[seen_late & ~late_nodes])
    lies_in = np.where(was_shared[graph.older], graph.younger, graph.older)  # the node whose cluster an edge lies in
    nobodys = was_shared[graph.older] & was_shared[graph.younger]
    read = late_edges | (is_touched[lies_in] & ~nobodys)
    nodes = is_touched.copy()
    nodes[graph.older[read]] = nodes[graph.younger[read]] = True  # with shared nodes next to them

    whole, before = resolve(graph), resolve(graph.part(~late_nodes, ~late_edges))
    limited = replace(graph, max_neighbours=np.where(was_shared, -1, graph.max_neighbours))
    found = resolve(limited.part(nodes, read))
    numbers = np.flatnonzero(nodes)
    assert numbers[found.root].tolist() == whole.root[nodes].tolist()
    assert found.confidence.tolist() == whole.confidence[nodes].tolist()
    assert found.is_shared.tolist() == whole.is_shared[nodes].tolist()
    assert np.flatnonzero(read)[found.tree].tolist() == [edge for edge in whole.tree if nodes[graph.older[edge]]]
    old = np.flatnonzero(~late_nodes)
    rest = ~nodes[old]
    assert old[before.root][rest].tolist() == whole.root[old][rest].tolist()
    assert before.confidence[rest].tolist() == whole.confidence[old][rest].tolist()


@given(cases(), cases())
@settings(max_examples=100, deadline=None)
def test_people_who_have_nothing_to_do_with_them_change_nobody(case: Case, others: Case) -> None:
    size = len(case.types)
    moved = tuple((a + size, b + size) for a, b in others.edges)
    together = replace(case, types=case.types + others.types, edges=case.edges + moved)
    alone, beside = resolve(case.graph()), resolve(together.graph())
    assert beside.root[:size].tolist() == alone.root.tolist()
    assert beside.confidence[:size].tolist() == alone.confidence.tolist()


def test_long_chains_become_one_identity_each() -> None:
    """A thousand ids, each tied to the next, in whatever order the ties are found."""
    length, chains = 1_000, 20
    size = length * chains
    numbers = np.random.default_rng(1).permutation(size).reshape(chains, length)
    ends = np.stack([numbers[:, :-1].ravel(), numbers[:, 1:].ravel()])
    ends = ends[:, np.random.default_rng(2).permutation(ends.shape[1])]
    found = resolve(_of_visitors(size, ends))
    assert [set(found.root[chain].tolist()) for chain in numbers] == [{int(chain.min())} for chain in numbers]
    taken_by, _ = absorptions(_of_visitors(size, ends), found)
    assert np.count_nonzero(taken_by < 0) == chains


def test_a_kiosk_joins_nobody() -> None:
    """One id beside three thousand others; each of those stays who it is, and so does the kiosk."""
    others = np.arange(1, 3_001)
    found = resolve(_of_visitors(3_001, np.stack([np.zeros_like(others), others]), limit=200))
    assert found.root.tolist() == list(range(3_001))
    assert np.flatnonzero(found.is_shared).tolist() == [0]


def test_a_fingerprint_of_up_to_so_many_visitors_joins_them() -> None:
    at_limit = Case((FINGERPRINT, *[VISITOR] * 3), ((0, 1), (0, 2), (0, 3)), limit=3)
    assert resolve(at_limit.graph()).root.tolist() == [0, 0, 0, 0]
    assert resolve(replace(at_limit, limit=2).graph()).root.tolist() == [0, 1, 2, 3]


def test_a_shared_device_stays_with_whoever_logged_in_first() -> None:
    """Node 0 is the device, 1 and 2 are users; 3 is the second user's own telephone."""
    case = Case((VISITOR, USER, USER, VISITOR), ((0, 1), (0, 2), (2, 3)))
    assert resolve(case.graph()).root.tolist() == [0, 0, 2, 2]
    assert resolve(replace(case, merges_users=True).graph()).root.tolist() == [0, 0, 0, 0]


def test_a_login_outweighs_a_likeness_that_was_seen_before_it() -> None:
    """Two browsers with one fingerprint (0) seem to be one person until each logs in as somebody else."""
    case = Case((FINGERPRINT, VISITOR, VISITOR, USER, USER), ((0, 1), (0, 2), (1, 3), (2, 4)))
    assert resolve(case.graph()).root.tolist() == [0, 0, 2, 0, 2]


def test_an_identity_is_worth_its_weakest_bridge() -> None:
    def confidence(case: Case) -> list[float]:
        return resolve(case.graph()).confidence.tolist()

    assert confidence(Case((VISITOR, USER), ((0, 1),))) == [1.0] * 2
    assert confidence(Case((VISITOR, VISITOR), ((0, 1),))) == [0.95] * 2
    assert confidence(Case((VISITOR, FINGERPRINT), ((0, 1),))) == [1.0] * 2  # it joins nobody
    assert confidence(Case((VISITOR, FINGERPRINT, VISITOR), ((0, 1), (1, 2)))) == [0.87] * 3
    # The same two browsers, once the user is known in both: the stronger way between them counts.
    login = Case((VISITOR, FINGERPRINT, VISITOR, USER), ((0, 1), (1, 2), (0, 3), (2, 3)))
    assert confidence(login) == [1.0] * 4


def test_nothing_is_somebody_too() -> None:
    empty: Identities = resolve(Case((), ()).graph())
    assert empty.root.tolist() == []
    assert list(as_of_days(Case((), ()).graph(), np.zeros(0), np.zeros(0), {})) == []
    assert resolve(Case((VISITOR, USER), ()).graph()).root.tolist() == [0, 1]


def _of_visitors(size: int, ends: np.ndarray, limit: int = 99) -> Graph:
    return Graph(
        types=np.zeros(size, dtype=np.int64),
        is_weak=np.zeros(size, dtype=bool),
        max_neighbours=np.full(size, limit),
        is_one_person=np.zeros(size, dtype=bool),
        older=ends.min(axis=0),
        younger=ends.max(axis=0),
        confidence=np.full(ends.shape[1], 0.95),
    )
