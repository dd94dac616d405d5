"""One row per day to be built and node of an identity that was seen then: the identity, by what was known that day."""

import numpy as np
import pyarrow as pa


def model(dbt, session):
    from identity_graph import as_of_days, graph_of

    nodes = dbt.ref("int_identity_nodes").order("node_number").fetchnumpy()
    edges = dbt.ref("int_identity_edges").order("edge_number").fetchnumpy()
    seen = dbt.ref("int_identity_seen").fetchnumpy()
    days = seen["as_of_date"].astype("datetime64[D]").astype(np.int64)
    found = list(
        as_of_days(
            graph_of(nodes, edges),
            nodes["first_date"].astype("datetime64[D]").astype(np.int64),
            edges["first_date"].astype("datetime64[D]").astype(np.int64),
            {int(day): seen["node_number"][days == day] for day in np.unique(days)},
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
