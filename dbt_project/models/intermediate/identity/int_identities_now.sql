-- One row per node of int_identity_nodes: its identity by everything known now.
{{ config(materialized='table') }}

select
    nodes.node_key,
    nodes.node_type,
    {{ identity_id('roots.node_key') }} as identity_id,
    graph.confidence,
    graph.is_shared,
    nodes.first_seen,
    nodes.last_seen,
    nodes.first_date,
    nodes.last_date,
    nodes.events,
    nodes.sessions
from {{ ref('int_identity_graph') }} as graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as roots
    on graph.root_number = roots.node_number
