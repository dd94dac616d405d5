-- One row per session: a site, a visitor, and their events without a longer pause. It belongs to the day of its first
-- event (UTC), whole.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'session_start', 'session_id'],
    neighbour_days=30,
    restates={'before': 1, 'after': 30}
) }}

with counted as (

    select
        owner_number,
        session_place,
        {{ last_known('user_id', 'place') }} as user_id,
        max(event_ts) as session_end,
        count(*) as events,
        count(case when is_page_view then 1 end) as page_views,
        {{ first_known('path', 'place', preferred='is_page_view') }} as entry_page,
        {{ last_known('path', 'place', preferred='is_page_view') }} as exit_page,
        {{ first_known('host', 'place', preferred='is_page_view') }} as entry_host,
        min_by(event_id, case when has_source then place end) as source_event_id,
        min_by(event_ts, case when has_source then place end) as source_event_ts,
        -- Columns about the visitor come from events that the visitor's own browser or app sent, if there are any.
        min_by(event_id, case when not is_sent_by_server then place end) as client_event_id,
        min_by(event_ts, case when not is_sent_by_server then place end) as client_event_ts,
        coalesce(bool_or(is_bot), false) as is_bot
    from {{ ref('int_session_events') }}
    group by owner_number, session_place

),

converted as (

    select
        session_events.owner_number,
        session_events.session_place,
        sum(conversions.conversions) as conversions,
        {{ sum_of_one_currency('conversions.revenue', 'conversions.currency') }} as revenue,
        {{ one_currency('conversions.revenue', 'conversions.currency') }} as currency,
        {{ has_several_currencies('conversions.revenue', 'conversions.currency') }} as has_several_currencies
    from {{ ref('int_session_events') }} as session_events
    inner join {{ ref('int_conversions') }} as conversions
        on {{ same_event('session_events', 'conversions') }}
    where session_events.is_conversion
    group by session_events.owner_number, session_events.session_place

),

measured as (

    select
        session_starts.session_date,
        session_starts.session_id,
        session_starts.site_id,
        session_starts.visitor_key,
        session_starts.session_start,
        coalesce(counted.client_event_id, session_starts.first_event_id) as client_event_id,
        coalesce(counted.client_event_ts, session_starts.session_start) as client_event_ts,
        coalesce(counted.source_event_id, counted.client_event_id, session_starts.first_event_id) as source_event_id,
        coalesce(counted.source_event_ts, counted.client_event_ts, session_starts.session_start) as source_event_ts,
        counted.user_id,
        counted.session_end,
        counted.events,
        counted.page_views,
        cast(coalesce(converted.conversions, 0) as bigint) as conversions,
        converted.revenue,
        converted.currency,
        coalesce(converted.has_several_currencies, false) as has_several_currencies,
        counted.entry_page,
        counted.exit_page,
        counted.entry_host,
        counted.is_bot
    from counted
    inner join {{ ref('int_session_starts') }} as session_starts
        on
            counted.owner_number = session_starts.owner_number
            and counted.session_place = session_starts.session_place
    left join converted
        on
            counted.owner_number = converted.owner_number
            and counted.session_place = converted.session_place

),

wanted as (

    select
        site_id,
        client_event_id as event_id,
        client_event_ts as event_ts
    from measured
    union
    select
        site_id,
        source_event_id as event_id,
        source_event_ts as event_ts
    from measured

),

-- Columns from the first event that the session's visitor sent, and from the event that brings its source: texts of a
-- few events, which are read once.
telling_events as (

    select
        stg_events.site_id,
        stg_events.event_id,
        stg_events.event_ts,
        stg_events.visitor_id,
        stg_events.device_id,
        stg_events.client_session_id,
        stg_events.tenant_id,
        stg_events.host,
        stg_events.referrer,
        stg_events.referrer_host,
        stg_events.utm_source,
        stg_events.utm_medium,
        stg_events.utm_campaign,
        stg_events.utm_term,
        stg_events.utm_content,
        stg_events.click_id,
        stg_events.click_id_kind,
        stg_events.device_category,
        stg_events.browser_family,
        stg_events.os_family,
        {{ known_of_visitor('country') }},
        {{ known_of_visitor('region') }},
        {{ known_of_visitor('city') }},
        stg_events.language,
        {{ known_of_visitor('ip_hash') }},
        {{ known_of_visitor('subnet_hash') }},
        stg_events.user_agent
    from {{ ref('stg_events') }} as stg_events
    inner join wanted
        on {{ same_event('stg_events', 'wanted') }}

),

-- Only visitors of the built days, which are few compared with the whole history.
visits as (

    select
        history.site_id,
        history.visitor_key,
        history.session_date,
        history.session_start,
        cast(null as varchar) as session_id
    from {{ ref('int_session_history') }} as history
    where
        exists (
            select 1
            from measured
            where measured.visitor_key = history.visitor_key and measured.site_id is not distinct from history.site_id
        )
    union all
    select
        site_id,
        visitor_key,
        session_date,
        session_start,
        session_id
    from measured

),

-- The visits before this one, minus those older than `visitor_history_days`.
numbered as (

    select
        session_id,
        row_number() over (partition by site_id, visitor_key order by session_start, session_id)
        - count(*) over (
            partition by site_id, visitor_key
            order by session_date
            range between unbounded preceding and interval {{ rule('visitor_history_days') | int + 1 }} day preceding
        ) as session_sequence
    from visits

)

select
    measured.session_date,
    measured.session_id,
    measured.site_id,
    client_events.tenant_id,
    measured.visitor_key,
    client_events.visitor_id,
    measured.user_id,
    client_events.device_id,
    client_events.client_session_id,
    measured.session_start,
    measured.session_end,
    {{ seconds_between('measured.session_start', 'measured.session_end') }} as duration_seconds,
    measured.events,
    measured.page_views,
    measured.conversions,
    measured.revenue,
    measured.currency,
    measured.has_several_currencies,
    measured.entry_page,
    measured.exit_page,
    measured.entry_host,
    int_pages.page_category as entry_page_category,
    source_events.referrer,
    source_events.referrer_host,
    source_events.utm_source,
    source_events.utm_medium,
    source_events.utm_campaign,
    source_events.utm_term,
    source_events.utm_content,
    source_events.click_id,
    source_events.click_id_kind,
    int_traffic_sources.session_source as source,
    int_traffic_sources.session_medium as medium,
    int_traffic_sources.channel,
    client_events.device_category,
    client_events.browser_family,
    client_events.os_family,
    client_events.country,
    client_events.region,
    client_events.city,
    client_events.language,
    client_events.ip_hash,
    client_events.subnet_hash,
    client_events.user_agent,
    measured.events = 1 as is_bounce,
    measured.session_end > measured.session_start + interval '{{ rule('session_engaged_seconds') }}' second
    or measured.page_views >= 2
    or measured.conversions > 0 as is_engaged,
    numbered.session_sequence,
    numbered.session_sequence = 1 as is_new_visitor,
    measured.is_bot
from measured
inner join numbered
    on measured.session_id = numbered.session_id
left join telling_events as client_events
    on
        measured.client_event_id = client_events.event_id
        and measured.client_event_ts = client_events.event_ts
        and measured.site_id is not distinct from client_events.site_id
left join telling_events as source_events
    on
        measured.source_event_id = source_events.event_id
        and measured.source_event_ts = source_events.event_ts
        and measured.site_id is not distinct from source_events.site_id
left join {{ ref('int_traffic_sources') }} as int_traffic_sources
    on {{ same_traffic_source('source_events') }}
left join {{ ref('int_pages') }} as int_pages
    on measured.entry_page = int_pages.path
