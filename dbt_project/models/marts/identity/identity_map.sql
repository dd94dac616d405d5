-- One row per node: its identity by everything known now. The whole history, one file.
{{ config(sort_by=['node_key']) }}

select
    nodes.node_key,
    nodes.node_type,
    {{ identity_id('roots.node_key') }} as identity_id,
    graph.confidence,
    graph.is_shared,
    nodes.first_seen,
    nodes.last_seen,
    nodes.events,
    nodes.sessions
from {{ ref('int_identity_graph') }} as graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as roots
    on graph.root_number = roots.node_number
