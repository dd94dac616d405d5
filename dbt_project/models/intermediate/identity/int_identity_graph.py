"""One row per node: its identity by everything known now, and the node and edge that joined it to that identity."""

import numpy as np
import pyarrow as pa


def model(dbt, session):
    from identity_graph import EDGE_COLUMNS, NODE_COLUMNS, absorptions, clusters, graph_of, resolve

    nodes = dbt.ref("int_identity_nodes").order("node_number").project(f"{NODE_COLUMNS}, settles").to_arrow_table()
    edges = dbt.ref("int_identity_edges").order("edge_number").project(f"{EDGE_COLUMNS}, settles").to_arrow_table()
    graph = graph_of(nodes, edges)
    found = resolve(graph)
    taken_by, edge_of = absorptions(graph, found)
    cluster, was_shared = clusters(graph, nodes["settles"].to_numpy(), edges["settles"].to_numpy())
    return pa.table(
        {
            "node_number": np.arange(graph.size),
            "root_number": found.root,
            "confidence": found.confidence,
            "is_shared": found.is_shared,
            "taken_by": pa.array(taken_by, mask=taken_by < 0),
            "edge_number": pa.array(edge_of, mask=edge_of < 0),
            "cluster": pa.array(cluster, mask=cluster < 0),
            "was_shared": was_shared,
        }
    )
