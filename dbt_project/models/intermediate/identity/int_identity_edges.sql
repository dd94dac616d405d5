-- One row per edge between nodes of int_identity_nodes, from the older node to the younger one.
{{ config(materialized='table') }}

with edges as (

    select
        node_a,
        node_b,
        min(first_seen) as first_seen,
        min(session_date) as first_date,
        min_by(first_event_id, (first_seen, first_event_id)) as first_event_id,
        min_by(site_id, (first_seen, first_event_id)) as site_id,
        nullif(min_by(coalesce(tenant_id, ''), (first_seen, first_event_id)), '') as tenant_id
    from {{ ref('int_identity_edge_days') }}
    group by node_a, node_b

),

numbered as (

    select
        least(a.node_number, b.node_number) as older,
        greatest(a.node_number, b.node_number) as younger,
        case when a.node_number < b.node_number then a.node_type else b.node_type end as older_type,
        case when a.node_number < b.node_number then b.node_type else a.node_type end as younger_type,
        edges.first_seen,
        edges.first_date,
        edges.first_event_id,
        edges.site_id,
        edges.tenant_id
    from edges
    inner join {{ ref('int_identity_nodes') }} as a
        on edges.node_a = a.node_key
    inner join {{ ref('int_identity_nodes') }} as b
        on edges.node_b = b.node_key

)

select
    row_number() over (order by first_seen, older, younger) - 1 as edge_number,
    older,
    younger,
    older_type,
    younger_type,
    cast(
        case
            when 'fingerprint' in (older_type, younger_type) then {{ rule('identity_fingerprint_confidence') }}
            when 'user_id' in (older_type, younger_type) then {{ rule('identity_user_confidence') }}
            else {{ rule('identity_device_confidence') }}
        end as double
    ) as confidence,
    first_seen,
    first_date,
    first_event_id,
    site_id,
    tenant_id,
    {{ settles('first_date') }} as settles
from numbered
