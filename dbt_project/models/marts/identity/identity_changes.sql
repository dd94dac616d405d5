-- One row per node whose identity was taken in by an older one: when, by which edge, and into which. The whole history,
-- one file.
{{ config(sort_by=['effective_at', 'node_key']) }}

select
    edges.first_seen as effective_at,
    nodes.node_key,
    {{ identity_id('nodes.node_key') }} as from_identity_id,
    {{ identity_id('takers.node_key') }} as to_identity_id,
    older.node_key as bridge_node_a,
    younger.node_key as bridge_node_b,
    case
        when 'fingerprint' in (edges.older_type, edges.younger_type) then 'same fingerprint in one network'
        when 'user_id' in (edges.older_type, edges.younger_type) then 'logged in'
        else 'same device'
    end as reason,
    edges.confidence,
    edges.site_id,
    edges.tenant_id,
    edges.first_event_id as event_id
from {{ ref('int_identity_graph') }} as graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as takers
    on graph.taken_by = takers.node_number
inner join {{ ref('int_identity_edges') }} as edges
    on graph.edge_number = edges.edge_number
inner join {{ ref('int_identity_nodes') }} as older
    on edges.older = older.node_number
inner join {{ ref('int_identity_nodes') }} as younger
    on edges.younger = younger.node_number
union all
{{ settled_and_untouched('identity_changes') }}
