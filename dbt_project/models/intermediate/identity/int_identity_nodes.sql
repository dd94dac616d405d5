-- One row per node, numbered by age from 0: an identity's oldest node has the smallest number. Days that are summed up
-- have only nodes that have to do with the days after them.
{{ config(materialized='table') }}

with nodes as (

    select
        node_key,
        min(node_type) as node_type,
        min(first_seen) as first_seen,
        min(session_date) as first_date,
        max(last_seen) as last_seen,
        max(session_date) as last_date,
        cast(sum(events) as bigint) as events,
        cast(sum(sessions) as bigint) as sessions
    from {{ ref('int_identity_node_days') }}
    group by node_key

)

select
    row_number() over (order by nodes.first_seen, nodes.node_key) - 1 as node_number,
    nodes.node_key,
    nodes.node_type,
    nodes.first_seen,
    nodes.first_date,
    nodes.last_seen,
    nodes.last_date,
    nodes.events,
    nodes.sessions,
    -- A node with more neighbours of one type is shared, and joins nothing. One that was shared before stays so, and
    -- not all of its neighbours are read again.
    cast(
        case
            when shared.node_key is not null then -1
            when nodes.node_type = 'fingerprint' then {{ rule('identity_max_visitors_per_fingerprint') }}
            else {{ rule('identity_max_neighbours') }}
        end as bigint
    ) as max_neighbours,
    nodes.node_type = 'user_id' and not {{ rule('identity_merge_users') }} as is_one_person,
    {{ settles('nodes.first_date') }} as settles
from nodes
left join {{ settled_rows('shared') }} as shared
    on nodes.node_key = shared.node_key
