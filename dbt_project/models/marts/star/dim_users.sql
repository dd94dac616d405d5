-- One row per identity, as it is known now. The whole history, one file.
{{ config(sort_by=['identity_id']) }}

with sites as (

    select
        identity_map.identity_id,
        count(distinct identity_nodes.site_id) as sites
    from {{ ref('identity_nodes') }} as identity_nodes
    inner join {{ ref('identity_map') }} as identity_map
        on identity_nodes.node_key = identity_map.node_key
    group by identity_map.identity_id

),

counted as (

    select
        identity_map.identity_id,
        min(identity_map.confidence) as confidence,
        bool_or(identity_map.is_shared) as is_shared,
        min(identity_map.first_seen) as first_seen,
        max(identity_map.last_seen) as last_seen,
        min(nodes.first_date) as first_date,
        max(nodes.last_date) as last_date,
        cast(sum(identity_map.sessions) as bigint) as sessions,
        count(*) as nodes,
        count(case when identity_map.node_type = 'user_id' then 1 end) as user_ids,
        count(case when identity_map.node_type = 'visitor_id' then 1 end) as visitor_ids,
        count(case when identity_map.node_type = 'device_id' then 1 end) as device_ids,
        min(case when identity_map.node_type = 'user_id' then substr(identity_map.node_key, 6) end) as user_id
    from {{ ref('identity_map') }} as identity_map
    inner join {{ ref('int_identity_nodes') }} as nodes
        on identity_map.node_key = nodes.node_key
    group by identity_map.identity_id

)

select
    counted.identity_id,
    counted.user_id,
    counted.confidence,
    counted.is_shared,
    int_households.household_id,
    counted.first_seen,
    counted.last_seen,
    counted.first_date,
    counted.last_date,
    counted.sessions,
    sites.sites,
    counted.nodes,
    counted.user_ids,
    counted.visitor_ids,
    counted.device_ids
from counted
inner join sites
    on counted.identity_id = sites.identity_id
left join {{ ref('int_households') }} as int_households
    on counted.identity_id = int_households.identity_id
