"""One row per built day and node of an identity seen on that day: the identity as known at the day's end."""

import numpy as np
import pyarrow as pa

DAY = "first_date - date '1970-01-01' as day"


def model(dbt, session):
    from identity_graph import EDGE_COLUMNS, NODE_COLUMNS, as_of_days, graph_of

    nodes = dbt.ref("int_identity_nodes").order("node_number").project(f"{NODE_COLUMNS}, {DAY}").to_arrow_table()
    edges = dbt.ref("int_identity_edges").order("edge_number").project(f"{EDGE_COLUMNS}, {DAY}").to_arrow_table()
    seen = dbt.ref("int_identity_seen").project("as_of_date - date '1970-01-01' as day, node_number").to_arrow_table()
    days, seen_nodes = seen["day"].to_numpy(), seen["node_number"].to_numpy()
    found = list(
        as_of_days(
            graph_of(nodes, edges),
            nodes["day"].to_numpy(),
            edges["day"].to_numpy(),
            {int(day): seen_nodes[days == day] for day in np.unique(days)},
        )
    )
    numbers = [np.zeros(0, dtype=np.int64), *(kept for _, kept, _ in found)]
    as_of = np.repeat([day for day, _, _ in found], [len(kept) for _, kept, _ in found])
    return pa.table(
        {
            "as_of_date": pa.array(as_of.astype(np.int32)).cast(pa.date32()),
            "node_number": np.concatenate(numbers),
            "root_number": np.concatenate([numbers[0], *(identities.root for _, _, identities in found)]),
            "confidence": np.concatenate([np.zeros(0), *(identities.confidence for _, _, identities in found)]),
        }
    )
