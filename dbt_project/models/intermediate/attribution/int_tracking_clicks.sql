-- One row per click on a tracking link for an app: an app-shaped `click` that names a source, a click id or a campaign.
-- A click inside an app names none of these, and has no row.
select
    fact_events.session_date,
    fact_events.session_id,
    fact_events.site_id,
    fact_events.tenant_id,
    fact_events.event_id,
    fact_events.event_ts,
    fact_events.person_key,
    fact_events.utm_source,
    fact_events.utm_medium,
    fact_events.utm_campaign,
    fact_events.click_id,
    fact_events.click_id_kind,
    fact_events.campaign_id,
    fact_events.device_id,
    fact_events.advertising_id,
    fact_events.device_fingerprint,
    fact_events.ip_hash,
    fact_events.subnet_hash,
    fact_events.user_agent,
    int_traffic_sources.session_source as source,
    int_traffic_sources.session_medium as medium,
    int_traffic_sources.channel
from {{ ref('fact_events') }} as fact_events
inner join {{ ref('stg_events') }} as stg_events
    on {{ same_event('fact_events', 'stg_events') }}
inner join {{ ref('int_traffic_sources') }} as int_traffic_sources
    on {{ same_traffic_source('stg_events') }}
where
    {{ in_built_days('touchpoints', 'fact_events.session_date') }}
    and fact_events.shape = 'app'
    and fact_events.event_type = 'click'
    and not fact_events.is_bot
    and coalesce(
        fact_events.utm_source,
        fact_events.utm_medium,
        fact_events.utm_campaign,
        fact_events.click_id,
        fact_events.campaign_id
    ) is not null
