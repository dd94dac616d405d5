-- One row per node of all days, numbered by age from 0: an identity's oldest node has the smallest number.
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
    from {{ ref('identity_nodes') }}
    group by node_key

)

select
    row_number() over (order by first_seen, node_key) - 1 as node_number,
    node_key,
    node_type,
    first_seen,
    first_date,
    last_seen,
    last_date,
    events,
    sessions,
    -- A node with more neighbours of one type is shared, and joins nothing.
    cast(
        case
            when node_type = 'fingerprint' then {{ rule('identity_max_visitors_per_fingerprint') }}
            else {{ rule('identity_max_neighbours') }}
        end as bigint
    ) as max_neighbours,
    node_type = 'user_id' and not {{ rule('identity_merge_users') }} as is_one_person
from nodes
