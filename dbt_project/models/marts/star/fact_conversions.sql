-- One row per event of a person whose type is in the table conversion_events: a conversion, a copy of one, or a refund.
-- Sum `conversions` and `revenue`: copies and refunds are no conversions, and copies have no revenue.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'conversion_ts', 'conversion_id'],
    neighbour_days=60,
    restates={'before': 1, 'after': 30}
) }}

select
    fact_events.session_date,
    conversions.conversion_id,
    fact_events.event_ts as conversion_ts,
    fact_events.event_id,
    fact_events.event_type,
    conversions.conversion_type,
    conversions.status,
    cast(conversions.conversions as bigint) as conversions,
    fact_events.site_id,
    fact_events.tenant_id,
    fact_events.session_id,
    fact_events.person_key,
    fact_events.visitor_key,
    fact_events.user_id,
    fact_events.device_id,
    fact_events.advertising_id,
    fact_events.device_fingerprint,
    fact_events.ip_hash,
    fact_events.subnet_hash,
    fact_events.user_agent,
    fact_events.click_id,
    fact_events.click_id_kind,
    fact_events.campaign_id,
    conversions.transaction_id,
    conversions.names_conversion_id,
    conversions.value,
    conversions.revenue,
    conversions.currency,
    conversions.value_from
from {{ ref('fact_events') }} as fact_events
inner join {{ ref('int_conversions') }} as conversions
    on {{ same_event('fact_events', 'conversions') }}
where {{ in_built_days('fact_conversions', 'fact_events.session_date') }} and not fact_events.is_bot
