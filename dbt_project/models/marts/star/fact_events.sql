-- One row per event, with its session and person: the center of the star schema.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'event_ts', 'event_id'],
    neighbour_days=38,
    restates={'before': 1, 'after': 2},
    is_large=true
) }}

with of_built_days as (

    select
        owner_number,
        session_place,
        place,
        session_date,
        site_id,
        event_id,
        event_ts,
        is_page_view,
        is_conversion
    from {{ ref('int_session_events') }}
    where {{ in_built_days('fact_events', 'session_date') }}

),

of_sessions as (

    select
        session_starts.owner_number,
        session_starts.session_place,
        sessions.session_id,
        sessions.is_bot,
        {{ person_key('sessions.user_id', 'sessions.visitor_key', 'sessions.is_bot') }} as person_key
    from {{ ref('int_session_starts') }} as session_starts
    inner join {{ ref('sessions') }} as sessions
        on session_starts.session_id = sessions.session_id and session_starts.session_date = sessions.session_date

)

select
    of_built_days.session_date,
    of_sessions.session_id,
    of_built_days.site_id,
    stg_events.tenant_id,
    of_built_days.event_id,
    stg_events.event_ts,
    stg_events.event_type,
    of_sessions.person_key,
    stg_events.visitor_key,
    stg_events.visitor_id,
    stg_events.user_id,
    stg_events.device_id,
    stg_events.advertising_id,
    stg_events.cookie_id,
    stg_events.device_fingerprint,
    {{ known_of_visitor('ip_hash') }},
    {{ known_of_visitor('subnet_hash') }},
    stg_events.user_agent,
    stg_events.host,
    stg_events.path,
    stg_events.utm_source,
    stg_events.utm_medium,
    stg_events.utm_campaign,
    stg_events.click_id,
    stg_events.click_id_kind,
    stg_events.campaign_id,
    stg_events.revenue as value,
    stg_events.currency,
    coalesce(stg_events.opted_out, false) as opted_out,
    stg_events.shape,
    of_built_days.place = of_built_days.session_place as is_session_start,
    of_built_days.is_page_view,
    of_built_days.is_conversion,
    of_sessions.is_bot
from of_built_days
inner join of_sessions
    on
        of_built_days.owner_number = of_sessions.owner_number
        and of_built_days.session_place = of_sessions.session_place
inner join {{ ref('stg_events') }} as stg_events
    on {{ same_event('of_built_days', 'stg_events') }}
