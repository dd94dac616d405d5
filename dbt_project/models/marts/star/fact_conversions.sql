-- One row per conversion: an event of a person whose type is in the seed conversion_events, with what it is worth.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'conversion_ts', 'conversion_id'],
    neighbour_days=30,
    restates={'before': 1, 'after': 2}
) }}

select
    fact_events.session_date,
    {{ event_key('fact_events') }} as conversion_id,
    fact_events.event_ts as conversion_ts,
    fact_events.event_id,
    fact_events.event_type,
    conversion_events.conversion_type,
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
    coalesce(fact_events.revenue, conversion_events.default_value) as revenue,
    -- An amount whose currency is not named is of an unknown one, not of that of another amount.
    case
        when fact_events.revenue is not null then fact_events.currency
        when conversion_events.default_value is not null then conversion_events.currency
    end as currency,
    case
        when fact_events.revenue is not null then 'event'
        when conversion_events.default_value is not null then 'default'
        else 'none'
    end as value_from
from {{ ref('fact_events') }} as fact_events
inner join {{ ref('conversion_events') }} as conversion_events
    on fact_events.event_type = conversion_events.event_type
where {{ in_built_days('fact_conversions', 'fact_events.session_date') }} and not fact_events.is_bot
