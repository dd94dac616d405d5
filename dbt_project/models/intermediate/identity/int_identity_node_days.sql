-- Rows of identity_nodes: all, or those of settled days only where their nodes have to do with the days after them.
{{ config(materialized='table') }}

select
    session_date,
    node_key,
    node_type,
    site_id,
    subnet_hash,
    first_seen,
    last_seen,
    events,
    sessions
from {{ ref('identity_nodes') }}
union all
select
    node_days.session_date,
    node_days.node_key,
    node_days.node_type,
    node_days.site_id,
    node_days.subnet_hash,
    node_days.first_seen,
    node_days.last_seen,
    node_days.events,
    node_days.sessions
from {{ settled_rows('node_days') }} as node_days
inner join {{ ref('int_identity_clusters') }} as clusters
    on node_days.cluster = clusters.cluster
