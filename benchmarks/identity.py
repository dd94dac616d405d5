"""Measures identity at scale: chains of ids, each linked to the next by an event at another time.

Chains are the hardest case for connected components: a method that passes ids from neighbour to neighbour needs as
many rounds as the chain is long.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import THREADS
from benchmarks.ours import build_in_process

CHAIN = 1_000
MODELS = (
    *("int_identity_clusters", "int_identity_node_days", "int_identity_edge_days"),
    *("int_identity_nodes", "int_identity_edges", "int_identity_graph", "int_identities_now"),
    *("identity_map", "identity_changes"),
)
EDGES = "marts/identity_edges/session_date={day}/data.parquet"
NODES = "marts/identity_nodes/session_date={day}/data.parquet"

# Node n is number n % CHAIN of its chain. Its time is random, so that links join distant times.
_NODE = "'visitor:' || md5(cast({n} as varchar))"
_SEEN = "timestamp '{day} 00:00:00' + to_microseconds(cast(hash({n}) % 86400000000 as bigint))"


def make_chains(lake_folder: str, day: str, edges: str) -> int:
    """Writes published files of one day with `edges` edges in chains of a thousand nodes. Returns the edges."""
    import duckdb

    size = int(edges) * CHAIN // (CHAIN - 1)
    files = {name: Path(lake_folder, pattern.format(day=day)) for name, pattern in (("n", NODES), ("e", EDGES))}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
    one, next_one = _NODE.format(n="n"), _NODE.format(n="(n + 1)")
    seen, next_seen = (_SEEN.format(day=day, n=n) for n in ("n", "(n + 1)"))
    queries = {
        "n": f"""
            select {one} as node_key, 'visitor_id' as node_type, 'shop.example' as site_id, 'net' as subnet_hash,
                {seen} as first_seen, {seen} as last_seen, 1::bigint as events, 1::bigint as sessions
            from range({size}) as numbers (n) order by node_key
        """,
        "e": f"""
            select least({one}, {next_one}) as node_a, greatest({one}, {next_one}) as node_b,
                greatest({seen}, {next_seen}) as first_seen, 'evt_' || n as first_event_id,
                'shop.example' as site_id, 1::bigint as events
            from range({size}) as numbers (n) where n % {CHAIN} <> {CHAIN - 1} order by node_a, node_b
        """,
    }
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}")
        for name, query in queries.items():
            connection.execute(f"copy ({query}) to '{files[name]}' (format parquet, compression zstd)")
    return int(edges)


def run_identity(lake_folder: str, day: str, edges: str) -> int:
    """Builds, tests and publishes the identity models from all edges with dbt. Returns the edges."""
    build_in_process(lake_folder, day, "--select", *MODELS)
    return int(edges)


def union_find_loop(lake_folder: str, day: str, edges: str) -> int:
    """Finds only the components, in a plain Python loop over the same edges: no limits, confidence, changes or
    files."""
    import pyarrow.parquet as pq

    table = pq.read_table(Path(lake_folder, EDGES.format(day=day)), columns=["node_a", "node_b"])
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for batch in table.to_batches():
        for a, b in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            parent[root(a)] = root(b)
    if len({root(node) for node in parent}) * (CHAIN - 1) != int(edges):
        raise RuntimeError("not one component for each chain")
    return int(edges)
