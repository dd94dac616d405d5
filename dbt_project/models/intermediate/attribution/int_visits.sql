-- One row per visit of a person that may be a touch: a session, or with the grain `event` each event of a session that
-- brings a source. A session that takes its source from a tracking link has no row, because that click is the touch.
with sessions_of_people as (

    select
        sessions.session_date,
        sessions.session_id,
        'session:' || sessions.session_id as touch_id,
        sessions.session_start as touch_ts,
        sessions.site_id,
        sessions.tenant_id,
        fact_events.person_key,
        sessions.utm_campaign,
        sessions.click_id,
        sessions.click_id_kind,
        fact_events.device_id,
        fact_events.advertising_id,
        fact_events.device_fingerprint,
        sessions.ip_hash,
        sessions.subnet_hash,
        sessions.user_agent,
        sessions.source,
        sessions.medium,
        sessions.channel
    from {{ ref('sessions') }} as sessions
    inner join {{ ref('fact_events') }} as fact_events
        on
            sessions.session_id = fact_events.session_id
            and sessions.session_date = fact_events.session_date
            and fact_events.is_session_start
    where
        {{ in_built_days('touchpoints', 'sessions.session_date') }}
        and not sessions.is_bot
        and not exists (
            select 1
            from {{ ref('int_tracking_clicks') }} as clicks
            where
                clicks.session_id = sessions.session_id
                and clicks.session_date = sessions.session_date
                and clicks.utm_source is not distinct from sessions.utm_source
                and clicks.utm_medium is not distinct from sessions.utm_medium
                and clicks.utm_campaign is not distinct from sessions.utm_campaign
                and clicks.click_id is not distinct from sessions.click_id
                and clicks.click_id_kind is not distinct from sessions.click_id_kind
        )

),

-- The clicks on tracking links are touches already.
events_with_source as (

    select
        fact_events.session_date,
        fact_events.session_id,
        'event:' || {{ event_key('fact_events') }} as touch_id,
        fact_events.event_ts as touch_ts,
        fact_events.site_id,
        fact_events.tenant_id,
        fact_events.person_key,
        fact_events.utm_campaign,
        fact_events.click_id,
        fact_events.click_id_kind,
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
        '{{ rule("attribution_grain") }}' = 'event'
        and {{ in_built_days('touchpoints', 'fact_events.session_date') }}
        and not fact_events.is_bot
        and int_traffic_sources.has_source
        and not exists (
            select 1
            from {{ ref('int_tracking_clicks') }} as clicks
            where {{ same_event('clicks', 'fact_events') }}
        )

),

visits as (

    select *
    from events_with_source
    union all
    select *
    from sessions_of_people
    where
        not exists (
            select 1
            from events_with_source
            where
                events_with_source.session_id = sessions_of_people.session_id
                and events_with_source.session_date = sessions_of_people.session_date
        )

)

select
    *,
    row_number() over (partition by session_date, session_id order by touch_ts, touch_id) as visit_number
from visits
