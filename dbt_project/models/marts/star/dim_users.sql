-- One row per identity, as it is known now. The whole history, one file.
{{ config(sort_by=['identity_id']) }}
-- Users are published only with the map that names them.
-- depends_on: {{ ref('identity_map') }}

with sites as (

    select
        identities.identity_id,
        count(distinct node_days.site_id) as sites
    from {{ ref('int_identity_node_days') }} as node_days
    inner join {{ ref('int_identities_now') }} as identities
        on node_days.node_key = identities.node_key
    group by identities.identity_id

),

counted as (

    select
        identity_id,
        min(case when node_type = 'user_id' then substr(node_key, 6) end) as user_id,
        min(confidence) as confidence,
        bool_or(is_shared) as is_shared,
        min(first_seen) as first_seen,
        max(last_seen) as last_seen,
        min(first_date) as first_date,
        max(last_date) as last_date,
        cast(sum(sessions) as bigint) as sessions,
        count(*) as nodes,
        count(case when node_type = 'user_id' then 1 end) as user_ids,
        count(case when node_type = 'visitor_id' then 1 end) as visitor_ids,
        count(case when node_type = 'device_id' then 1 end) as device_ids
    from {{ ref('int_identities_now') }}
    group by identity_id

),

users as (

    select
        counted.identity_id,
        counted.user_id,
        counted.confidence,
        counted.is_shared,
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
    union all
    {{ settled_and_untouched('dim_users') }}

)

select
    users.identity_id,
    users.user_id,
    users.confidence,
    users.is_shared,
    int_households.household_id,
    users.first_seen,
    users.last_seen,
    users.first_date,
    users.last_date,
    users.sessions,
    users.sites,
    users.nodes,
    users.user_ids,
    users.visitor_ids,
    users.device_ids
from users
left join {{ ref('int_households') }} as int_households
    on users.identity_id = int_households.identity_id
