-- Placeholder of touchpoints, without rows.
{{ config(
    partition_by='touch_date',
    restates={'before': 1, 'after': 2},
    neighbour_days=38
) }}

select
    cast(null as date) as touch_date,
    cast(null as varchar) as touch_id,
    cast(null as varchar) as touch_type,
    cast(null as timestamp) as touch_ts,
    cast(null as varchar) as person_key,
    cast(null as varchar) as site_id,
    cast(null as varchar) as session_id,
    cast(null as varchar) as source,
    cast(null as varchar) as medium,
    cast(null as varchar) as channel,
    cast(null as varchar) as order_id,
    cast(null as varchar) as campaign_id,
    cast(null as varchar) as publication_code,
    cast(null as varchar) as creative_id,
    cast(null as varchar) as click_id,
    cast(null as varchar) as click_id_kind,
    cast(null as varchar) as device_id,
    cast(null as varchar) as advertising_id,
    cast(null as varchar) as device_fingerprint,
    cast(null as varchar) as ip_hash,
    cast(null as varchar) as subnet_hash,
    cast(null as varchar) as user_agent,
    cast(null as boolean) as is_direct
from {{ ref('fact_events') }}
where false and {{ in_built_days('touchpoints', 'session_date') }}
