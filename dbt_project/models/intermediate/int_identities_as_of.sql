-- One row per day to be built and node of an identity that was seen then: the identity as it was known at the day's
-- end, so that a day's numbers depend on no later day.
{{ config(materialized='table') }}

select
    graph.as_of_date,
    nodes.node_key,
    nodes.node_type,
    md5('identity:' || roots.node_key) as identity_id,
    graph.confidence,
    roots.first_seen,
    roots.first_date
from {{ ref('int_identity_graph_as_of') }} as graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as roots
    on graph.root_number = roots.node_number
