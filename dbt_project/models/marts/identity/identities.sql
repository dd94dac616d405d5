-- One row per day and identity that was seen on it, as it was known at the day's end.
{{ config(
    partition_by='report_date',
    sort_by=['identity_id'],
    restates={'before': 1, 'after': 30}
) }}

-- If a visit has several ids, its session is counted with one of them.
with counted as (

    select
        as_of.as_of_date as report_date,
        as_of.identity_id,
        min(as_of.confidence) as confidence,
        min(as_of.first_date) as first_date,
        min(nodes.first_seen) as first_seen,
        max(nodes.last_seen) as last_seen,
        cast(sum(nodes.sessions) as bigint) as total_sessions,
        cast(sum(case when nodes.session_date = as_of.as_of_date then nodes.sessions else 0 end) as bigint) as sessions,
        count(distinct nodes.session_date) as total_days,
        count(distinct nodes.site_id) as sites,
        count(distinct nodes.node_key) as nodes,
        count(distinct case when as_of.node_type = 'user_id' then nodes.node_key end) as user_ids,
        count(distinct case when as_of.node_type = 'visitor_id' then nodes.node_key end) as visitor_ids,
        count(distinct case when as_of.node_type = 'device_id' then nodes.node_key end) as device_ids,
        max(nodes.session_date) as last_date
    from {{ ref('int_identities_as_of') }} as as_of
    inner join {{ ref('int_identity_node_days') }} as nodes
        on as_of.node_key = nodes.node_key and as_of.as_of_date >= nodes.session_date
    where {{ in_built_days('identities', 'as_of.as_of_date') }}
    group by as_of.as_of_date, as_of.identity_id

)

select
    report_date,
    identity_id,
    confidence,
    first_seen,
    last_seen,
    first_date,
    first_date = report_date as is_new,
    sessions,
    total_sessions,
    total_days,
    sites,
    nodes,
    user_ids,
    visitor_ids,
    device_ids
from counted
where last_date = report_date
