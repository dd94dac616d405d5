-- Placeholder of attribution, without rows.
{{ config(
    partition_by='session_date',
    restates={'before': 1, 'after': 30},
    neighbour_days=38
) }}

select
    cast(null as date) as session_date,
    cast(null as varchar) as conversion_id,
    cast(null as timestamp) as conversion_ts,
    cast(null as varchar) as conversion_type,
    cast(null as varchar) as site_id,
    cast(null as varchar) as person_key,
    cast(null as varchar) as identity_id,
    cast(null as varchar) as model,
    cast(null as varchar) as touch_id,
    cast(null as varchar) as touch_type,
    cast(null as timestamp) as touch_ts,
    cast(null as bigint) as position,
    cast(null as bigint) as touches,
    cast(null as decimal(18,9)) as credit,
    cast(null as decimal(18,4)) as revenue,
    cast(null as varchar) as currency,
    cast(null as varchar) as status,
    cast(null as varchar) as reason,
    cast(null as boolean) as is_reattribution,
    cast(null as varchar) as source,
    cast(null as varchar) as medium,
    cast(null as varchar) as channel,
    cast(null as varchar) as order_id,
    cast(null as varchar) as campaign_id,
    cast(null as varchar) as publication_code,
    cast(null as varchar) as creative_id
from {{ ref('fact_conversions') }}
where false and {{ in_built_days('attribution', 'session_date') }} and exists (select 1 from {{ ref('touchpoints') }})
