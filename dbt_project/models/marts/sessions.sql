-- One row per session: a site, a visitor, and their events without a longer pause. It belongs to the day of its first
-- event (UTC), whole.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'session_start', 'session_id'],
    neighbour_days=30,
    restates={'before': 1, 'after': 30}
) }}

with measured as (

    select
        session_date,
        session_id,
        any_value(site_id) as site_id,
        any_value(visitor_key) as visitor_key,
        {{ first_known('visitor_id', 'place') }} as visitor_id,
        {{ last_known('user_id', 'place') }} as user_id,
        {{ first_known('device_id', 'place') }} as device_id,
        {{ first_known('client_session_id', 'place') }} as client_session_id,
        min(event_ts) as session_start,
        max(event_ts) as session_end,
        count(*) as events,
        count(case when is_page_view then 1 end) as page_views,
        count(case when is_conversion then 1 end) as conversions,
        -- Unlike currencies cannot be added up; an unknown one is unlike any other.
        count(distinct case when revenue is not null then coalesce(currency, '') end) as currencies,
        sum(revenue) as revenue,
        min(case when revenue is not null then currency end) as currency,
        coalesce(
            {{ first_known('case when is_page_view then path end', 'place') }}, {{ first_known('path', 'place') }}
        ) as entry_page,
        coalesce(
            {{ last_known('case when is_page_view then path end', 'place') }}, {{ last_known('path', 'place') }}
        ) as exit_page,
        coalesce(
            {{ first_known('case when is_page_view then host end', 'place') }}, {{ first_known('host', 'place') }}
        ) as entry_host,
        {{ first_known('device_category', 'place') }} as device_category,
        {{ first_known('browser_family', 'place') }} as browser_family,
        {{ first_known('os_family', 'place') }} as os_family,
        {{ first_known('country', 'place') }} as country,
        {{ first_known('region', 'place') }} as region,
        {{ first_known('city', 'place') }} as city,
        {{ first_known('language', 'place') }} as language,
        min_by(event_id, place) as first_event_id,
        min_by(event_id, case when has_source then place end) as source_event_id,
        coalesce(bool_or(is_bot), false) as is_bot
    from {{ ref('int_session_events') }}
    group by session_date, session_id

),

-- Only visitors of the days to be built: those are few beside all that history knows.
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

-- All visits before this one, less those that are forgotten by its day.
numbered as (

    select
        session_id,
        row_number() over (partition by site_id, visitor_key order by session_start, session_id)
        - count(*) over (
            partition by site_id, visitor_key
            order by session_date
            range between unbounded preceding and interval {{ var('visitor_history_days') | int + 1 }} day preceding
        ) as session_sequence
    from visits

)

select
    measured.session_date,
    measured.session_id,
    measured.site_id,
    measured.visitor_key,
    measured.visitor_id,
    measured.user_id,
    measured.device_id,
    measured.client_session_id,
    measured.session_start,
    measured.session_end,
    {{ seconds_between('measured.session_start', 'measured.session_end') }} as duration_seconds,
    measured.events,
    measured.page_views,
    measured.conversions,
    cast(case when measured.currencies <= 1 then measured.revenue end as decimal(18, 4)) as revenue,
    case when measured.currencies <= 1 then measured.currency end as currency,
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
    measured.device_category,
    measured.browser_family,
    measured.os_family,
    measured.country,
    measured.region,
    measured.city,
    measured.language,
    first_events.ip_hash,
    first_events.subnet_hash,
    first_events.user_agent,
    measured.events = 1 as is_bounce,
    measured.session_end > measured.session_start + interval '{{ var('session_engaged_seconds') }}' second
    or measured.page_views >= 2
    or measured.conversions > 0 as is_engaged,
    numbered.session_sequence,
    numbered.session_sequence = 1 as is_new_visitor,
    measured.is_bot
from measured
inner join numbered
    on measured.session_id = numbered.session_id
left join {{ ref('stg_events') }} as first_events
    on
        measured.first_event_id = first_events.event_id
        and measured.site_id is not distinct from first_events.site_id
left join {{ ref('stg_events') }} as source_events
    on
        coalesce(measured.source_event_id, measured.first_event_id) = source_events.event_id
        and measured.site_id is not distinct from source_events.site_id
left join {{ ref('int_traffic_sources') }} as int_traffic_sources
    on
        source_events.utm_source is not distinct from int_traffic_sources.utm_source
        and source_events.utm_medium is not distinct from int_traffic_sources.utm_medium
        and source_events.utm_campaign is not distinct from int_traffic_sources.utm_campaign
        and source_events.click_id_kind is not distinct from int_traffic_sources.click_id_kind
        and source_events.referrer_host is not distinct from int_traffic_sources.referrer_host
        and source_events.host is not distinct from int_traffic_sources.host
left join {{ ref('int_pages') }} as int_pages
    on measured.entry_page = int_pages.path
