-- One row per built day and node of an identity seen on that day: the identity as known at the day's end, so that a
-- day's numbers depend on no later day.
{{ config(materialized='table') }}

select
    graph.as_of_date,
    nodes.node_key,
    nodes.node_type,
    {{ identity_id('roots.node_key') }} as identity_id,
    graph.confidence,
    roots.first_seen,
    -- The first day over all nodes, because a node first seen after midnight may belong to a session of the day before.
    min(nodes.first_date) over (partition by graph.as_of_date, graph.root_number) as first_date
from {{ ref('int_identity_graph_as_of') }} as graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as roots
    on graph.root_number = roots.node_number
