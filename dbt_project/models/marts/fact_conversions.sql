-- Placeholder of fact_conversions, without rows.
{{ config(
    partition_by='session_date',
    restates={'before': 1, 'after': 2},
    neighbour_days=38
) }}

select
    cast(null as date) as session_date,
    cast(null as varchar) as conversion_id,
    cast(null as timestamp) as conversion_ts,
    cast(null as varchar) as event_id,
    cast(null as varchar) as event_type,
    cast(null as varchar) as conversion_type,
    cast(null as varchar) as site_id,
    cast(null as varchar) as session_id,
    cast(null as varchar) as person_key,
    cast(null as varchar) as visitor_key,
    cast(null as varchar) as user_id,
    cast(null as varchar) as device_id,
    cast(null as varchar) as advertising_id,
    cast(null as varchar) as device_fingerprint,
    cast(null as varchar) as ip_hash,
    cast(null as varchar) as subnet_hash,
    cast(null as varchar) as user_agent,
    cast(null as varchar) as click_id,
    cast(null as varchar) as click_id_kind,
    cast(null as varchar) as campaign_id,
    cast(null as decimal(18,4)) as revenue,
    cast(null as varchar) as currency,
    cast(null as varchar) as value_from
from {{ ref('fact_events') }}
where false and {{ in_built_days('fact_conversions', 'session_date') }}
