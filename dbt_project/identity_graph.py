"""Resolves nodes and edges into identities. Works on graphs as arrays, and knows no events or files.

A node is an id of a person, an edge is two ids in one event. An identity is a connected component, named for its oldest
node. Nodes are numbered by age, so the oldest node has the smallest number; edges are numbered by time. The result does
not depend on the order or the batches in which events arrived.

Three rules decide which nodes are joined, and how sure an identity is:

- A node with more neighbours of one type than its limit (`max_neighbours`) is shared: a kiosk, a proxy, or a bug that
  sends the same id for all. It joins nothing, and is an identity of its own.
- Two nodes that each stand for one person (`is_one_person`, logged-in users) are never joined, on any path. Stronger
  edges are taken first, and earlier ones among equals, so a shared device stays with the user who logged in first.
- An identity's confidence is that of its weakest edge on the resulting tree. A fingerprint at the tree's end joins
  nobody, and its edge does not count.

The tree is Kruskal's (1956) maximum spanning tree with some vertices kept apart. It is computed as a plain spanning
tree: edges stronger than all others tie each of those vertices to one additional vertex, which is then removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

FINGERPRINT = "fingerprint"
PIECE = 1 << 18  # nodes whose history is told at once, as Python's numbers


@dataclass(frozen=True)
class Graph:
    """Nodes by age and edges by time; the arrays of each have one length.

    Attributes:
        types: type of each node, as a number.
        is_weak: the node is a fingerprint.
        max_neighbours: largest number of neighbours of one type that a node may have.
        is_one_person: the node is an id of one person alone, such as a login; two of them are never joined.
        older, younger: numbers of an edge's nodes, older < younger.
        confidence: an edge's value as evidence, 0 to 1.
    """

    types: Ints
    is_weak: Flags
    max_neighbours: Ints
    is_one_person: Flags
    older: Ints
    younger: Ints
    confidence: Floats

    @property
    def size(self) -> int:
        return len(self.types)

    def part(self, nodes: Flags, edges: Flags) -> Graph:
        """The graph of some nodes and of some edges between them; both keep their order."""
        number = np.cumsum(nodes) - 1
        return Graph(
            self.types[nodes],
            self.is_weak[nodes],
            self.max_neighbours[nodes],
            self.is_one_person[nodes],
            number[self.older[edges]],
            number[self.younger[edges]],
            self.confidence[edges],
        )


@dataclass(frozen=True)
class Identities:
    """The identities of a graph.

    Attributes:
        root: oldest node of each node's identity.
        confidence: confidence of each node's identity, 0 to 1; 1 if no edge joins anything.
        is_shared: the node has too many neighbours, and joins nothing.
        tree: numbers of the edges that hold the identities together, by time.
    """

    root: Ints
    confidence: Floats
    is_shared: Flags
    tree: Ints


def resolve(graph: Graph) -> Identities:
    """The identities of a graph, in time proportional to its edges (and their sorting)."""
    is_shared = shared_nodes(graph)
    usable = np.flatnonzero(~(is_shared[graph.older] | is_shared[graph.younger]))
    tree = _strongest_tree(graph, usable)
    root = _roots(graph.size, graph.older[tree], graph.younger[tree])
    return Identities(root, _confidences(graph, tree, root), is_shared, tree)


def shared_nodes(graph: Graph) -> Flags:
    """Whether each node has more neighbours of one type than its limit."""
    kinds = int(graph.types.max(initial=0)) + 1
    counts = np.bincount(graph.older * kinds + graph.types[graph.younger], minlength=graph.size * kinds)
    counts += np.bincount(graph.younger * kinds + graph.types[graph.older], minlength=graph.size * kinds)
    return counts.reshape(graph.size, kinds).max(axis=1, initial=0) > graph.max_neighbours


def _strongest_tree(graph: Graph, usable: Ints) -> Ints:
    """The edges, by time, of the maximum spanning forest that joins no two persons."""
    persons = np.flatnonzero(graph.is_one_person)
    # There are few confidences. NumPy sorts small numbers by counting, and keeps the order of time.
    confidences, place = np.unique(-graph.confidence[usable], return_inverse=True)
    order = usable[np.argsort(place.astype(np.min_scalar_type(len(confidences))), kind="stable")]
    # Ranks begin at 1, because 0 means no edge. The ties to the vertex that keeps persons apart rank first.
    ranks = np.arange(1, len(persons) + len(order) + 1, dtype=np.float64)
    ends = (
        np.concatenate([persons, graph.older[order]]),
        np.concatenate([np.full(len(persons), graph.size), graph.younger[order]]),
    )
    matrix = coo_array((ranks, ends), shape=(graph.size + 1, graph.size + 1)).tocsr()
    taken = minimum_spanning_tree(matrix).data.astype(np.int64) - 1 - len(persons)
    return np.sort(order[taken[taken >= 0]])


def _roots(size: int, ends: Ints, others: Ints) -> Ints:
    """The smallest node number in each node's component."""
    matrix = coo_array((np.ones(len(ends), dtype=np.int8), (ends, others)), shape=(size, size))
    count, labels = connected_components(matrix, directed=False)
    first = np.full(count, size)
    np.minimum.at(first, labels, np.arange(size))
    return first[labels]


def _confidences(graph: Graph, tree: Ints, root: Ints) -> Floats:
    """For each node, the confidence of its identity: that of the weakest tree edge that joins something."""
    degree = np.bincount(np.concatenate([graph.older[tree], graph.younger[tree]]), minlength=graph.size)
    hangs = graph.is_weak & (degree == 1)
    joins = tree[~(hangs[graph.older[tree]] | hangs[graph.younger[tree]])]
    weakest = np.ones(graph.size)
    np.minimum.at(weakest, root[graph.older[joins]], graph.confidence[joins])
    return weakest[root]


def absorptions(graph: Graph, found: Identities) -> tuple[Ints, Ints]:
    """The history of the identities: which older identity took in each node's own identity, and by which edge.

    Every node begins as an identity of its own, named for it. An edge of the tree joins two identities at its time:
    the identity with the older name remains, and the other name ends for good. So each node except an identity's oldest
    is taken in exactly once.

    Returns:
        For each node, the oldest node of the identity that took it in, and the edge; both -1 for an oldest node.
    """
    # Nodes and edges are sorted by identity, so that memory accesses stay close and the loop may go piece by piece.
    by_identity = np.argsort(found.root, kind="stable")
    number = np.empty(graph.size, dtype=np.int64)
    number[by_identity] = np.arange(graph.size)
    identities = found.root[graph.older[found.tree]]
    by_identity_and_time = np.argsort(identities, kind="stable")
    tree, identities = found.tree[by_identity_and_time], identities[by_identity_and_time]
    taken_by = np.full(graph.size, -1, dtype=np.int64)
    edge_of = np.full(graph.size, -1, dtype=np.int64)
    for first, last in _pieces(found.root[by_identity]):
        oldest, newest = found.root[by_identity[[first, last - 1]]].tolist()
        edges = tree[int(np.searchsorted(identities, oldest)) : int(np.searchsorted(identities, newest, "right"))]
        old, place = _taken(last - first, number[graph.older[edges]] - first, number[graph.younger[edges]] - first)
        nodes, is_taken = by_identity[first:last], old >= 0
        taken_by[nodes[is_taken]] = nodes[old[is_taken]]
        edge_of[nodes[is_taken]] = edges[place[is_taken]]
    return taken_by, edge_of


def _pieces(identities: Ints) -> Iterator[tuple[int, int]]:
    """First and behind last place of pieces of PIECE nodes and more, none of which cuts an identity. The nodes of an
    identity are neighbours."""
    starts = np.append(np.flatnonzero(np.diff(identities, prepend=-1)), len(identities))
    first = 0
    while first < len(identities):
        after = int(np.searchsorted(starts, first + PIECE))
        last = int(starts[min(after, len(starts) - 1)])
        yield first, last
        first = last


def _taken(size: int, ends: Ints, others: Ints) -> tuple[Ints, Ints]:
    """For each node, by edges in the order of time: the older name that took its name in, and the place of the edge;
    both -1 for a name that remains."""
    parent = list(range(size))
    taken_by, place_of = [-1] * size, [-1] * size
    for place, (a, b) in enumerate(zip(ends.tolist(), others.tolist(), strict=True)):
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        old, young = (a, b) if a < b else (b, a)
        parent[young] = taken_by[young] = old
        place_of[young] = place
    return np.array(taken_by, dtype=np.int64), np.array(place_of, dtype=np.int64)


def as_of_days(
    graph: Graph, first_day: Ints, edge_day: Ints, seen: dict[int, Ints]
) -> Iterator[tuple[int, Ints, Identities]]:
    """The identities that were seen on some days, as known at each day's end.

    Args:
        first_day, edge_day: days from which nodes and edges are known.
        seen: day → nodes that were seen.

    Yields:
        For each day: the day, all nodes of the identities that were seen, and the identities. Entry i of the identities
        belongs to entry i of the nodes.
    """
    _, cluster = connected_components(
        coo_array(
            (np.ones(len(graph.older), dtype=np.int8), (graph.older, graph.younger)), shape=(graph.size, graph.size)
        ),
        directed=False,
    )
    for day, nodes_seen in sorted(seen.items()):
        # Nodes outside the clusters of the seen nodes cannot change their identities.
        is_near = np.zeros(int(cluster.max(initial=-1)) + 1, dtype=bool)
        is_near[cluster[nodes_seen]] = True
        nodes = is_near[cluster] & (first_day <= day)
        edges = is_near[cluster[graph.older]] & (edge_day <= day)
        found = resolve(graph.part(nodes, edges))
        numbers = np.flatnonzero(nodes)
        is_seen = np.zeros(graph.size, dtype=bool)
        is_seen[nodes_seen] = True
        has_seen = np.zeros(len(numbers), dtype=bool)
        has_seen[found.root[is_seen[numbers]]] = True
        kept = has_seen[found.root]
        yield (
            day,
            numbers[kept],
            Identities(numbers[found.root[kept]], found.confidence[kept], found.is_shared[kept], found.tree),
        )


def clusters(graph: Graph, nodes: Flags, edges: Flags) -> tuple[Ints, Flags]:
    """What edges connect, whether they may join it or not; edges of shared nodes are left out. More nodes and edges
    change the identities only in clusters that they touch, and shared nodes stay shared.

    Args:
        nodes, edges: the part of the graph that counts, as in `part`.

    Returns:
        A number for each node's cluster, -1 for a node that does not count; and whether it is shared.
    """
    part = graph.part(nodes, edges)
    shared = shared_nodes(part)
    usable = ~(shared[part.older] | shared[part.younger])
    cluster = np.full(graph.size, -1, dtype=np.int64)
    cluster[nodes] = _roots(part.size, part.older[usable], part.younger[usable])
    is_shared = np.zeros(graph.size, dtype=bool)
    is_shared[nodes] = shared
    return cluster, is_shared


NODE_COLUMNS = "node_type, max_neighbours, is_one_person"
EDGE_COLUMNS = "older, younger, confidence"


def graph_of(nodes: pa.Table, edges: pa.Table) -> Graph:
    """The graph from NODE_COLUMNS of int_identity_nodes and EDGE_COLUMNS of int_identity_edges, ordered by number."""
    types = nodes["node_type"].combine_chunks().dictionary_encode()
    kinds = types.indices.to_numpy().astype(np.int64)
    return Graph(
        types=kinds,
        is_weak=np.array([name == FINGERPRINT for name in types.dictionary.to_pylist()], dtype=bool)[kinds],
        max_neighbours=nodes["max_neighbours"].to_numpy(),
        is_one_person=nodes["is_one_person"].to_numpy(),
        older=edges["older"].to_numpy(),
        younger=edges["younger"].to_numpy(),
        confidence=edges["confidence"].to_numpy(),
    )
