-- Rows of identity_edges: all, or those of settled days only where their nodes have to do with the days after them.
{{ config(materialized='view') }}

select
    session_date,
    node_a,
    node_b,
    first_seen,
    first_event_id,
    site_id,
    tenant_id
from {{ ref('identity_edges') }}
union all
select
    edge_days.session_date,
    edge_days.node_a,
    edge_days.node_b,
    edge_days.first_seen,
    edge_days.first_event_id,
    edge_days.site_id,
    edge_days.tenant_id
from {{ settled_rows('edge_days') }} as edge_days
inner join {{ ref('int_identity_clusters') }} as clusters
    on edge_days.cluster = clusters.cluster
