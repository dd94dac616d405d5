"""One row per node: its identity by everything known now, and the node and edge that joined it to that identity."""

import numpy as np
import pyarrow as pa


def model(dbt, session):
    from identity_graph import EDGE_COLUMNS, NODE_COLUMNS, absorptions, graph_of, resolve

    nodes = dbt.ref("int_identity_nodes").order("node_number").project(NODE_COLUMNS)
    edges = dbt.ref("int_identity_edges").order("edge_number").project(EDGE_COLUMNS)
    graph = graph_of(nodes.to_arrow_table(), edges.to_arrow_table())
    found = resolve(graph)
    taken_by, edge_of = absorptions(graph, found)
    return pa.table(
        {
            "node_number": np.arange(graph.size),
            "root_number": found.root,
            "confidence": found.confidence,
            "is_shared": found.is_shared,
            "taken_by": pa.array(taken_by, mask=taken_by < 0),
            "edge_number": pa.array(edge_of, mask=edge_of < 0),
        }
    )
