-- One row per event, with the session that it belongs to, of the sessions that begin on the days to be built.
{%- set visitor = 'site_id, visitor_key' ~ (', client_session_id' if var('session_by') == 'client' else '') %}
{%- set sessions = 'cut_at_campaign' if var('session_split_on_campaign') else 'cut_at_midnight' %}
{%- set in_order = 'partition by ' ~ visitor ~ ' order by event_ts, event_id' %}

-- Only what sorting needs: carrying all columns through it would take three times as long as joining them later.
with events as (

    select
        stg_events.site_id,
        stg_events.visitor_key,
        stg_events.client_session_id,
        stg_events.event_ts,
        {%- if var('session_split_on_campaign') %}
        -- Null where the event names none.
            nullif(
                concat_ws(
                    '|',
                    coalesce(stg_events.utm_source, ''),
                    coalesce(stg_events.utm_medium, ''),
                    coalesce(stg_events.utm_campaign, ''),
                    coalesce(stg_events.click_id, '')
                ),
                '|||'
            ) as campaign,
        {%- endif %}
        stg_events.event_id
    from {{ ref('stg_events') }} as stg_events

),

with_previous as (

    select
        *,
        lag(event_ts) over ({{ in_order }}) as previous_ts
    from events

),

with_pauses as (

    select
        *,
        previous_ts is null
        {%- if var('session_by') == 'client' %}
            or event_ts > previous_ts + case
                when client_session_id is not null then interval '{{ var('session_client_timeout_seconds') }}' second
                else interval '{{ var('session_timeout_seconds') }}' second
            end
        {%- else %}
            or event_ts > previous_ts + interval '{{ var('session_timeout_seconds') }}' second
        {%- endif %} as is_after_pause,
        previous_ts is null or cast(event_ts as date) > cast(previous_ts as date) as is_first_of_day
    from with_previous

),

-- A chain of events has no pause. Both the chain's and the day's first event are found in one pass.
with_chains as (

    select
        *,
        row_number() over chain_so_far as place,
        max(case when is_after_pause then event_ts end) over chain_so_far as chain_start,
        last_value(case when is_after_pause then event_id end ignore nulls) over chain_so_far as chain_event_id,
        max(case when is_first_of_day then event_ts end) over chain_so_far as day_start,
        last_value(case when is_first_of_day then event_id end ignore nulls) over chain_so_far as day_event_id
    from with_pauses
    window chain_so_far as ({{ in_order }} rows between unbounded preceding and current row)

),

-- A chain that already lasted through the whole day before is cut at midnight: without that, a day would depend on
-- all days before it. Nobody is awake for so long; what does it is a robot or a shared id.
cut_at_midnight as (

    select
        * exclude (chain_start, chain_event_id, day_start, day_event_id),
        case when is_cut then day_start else chain_start end as session_start,
        case when is_cut then day_event_id else chain_event_id end as session_event_id
    from (
        select
            *,
            cast(chain_start as date) < cast(event_ts as date) - 1 as is_cut
        from with_chains
    ) as chains

),
{%- if var('session_split_on_campaign') %}

-- The campaign in effect is the last one named in the session so far.
    with_campaigns as (

        select
            *,
            last_value(campaign ignore nulls) over (
                partition by {{ visitor }}, session_event_id
                order by place rows between unbounded preceding and 1 preceding
            ) as campaign_in_effect
        from cut_at_midnight

    ),

    cut_at_campaign as (

        select
            * exclude (session_start, session_event_id),
            coalesce(max(case when is_cut_here then event_ts end) over session_so_far, session_start) as session_start,
            coalesce(
                last_value(case when is_cut_here then event_id end ignore nulls) over session_so_far, session_event_id
            ) as session_event_id
        from (
            select
                *,
                campaign <> coalesce(campaign_in_effect, '') and event_id <> session_event_id as is_cut_here
            from with_campaigns
        ) as marked
        window
            session_so_far as (
                partition by {{ visitor }}, session_event_id
                order by place rows between unbounded preceding and current row
            )

    ),
{%- endif %}
{%- if var('session_cap_hours') %}

-- Counted from where the session began, whatever begins in between.
    capped as (

        select
            * exclude (session_start, session_event_id, piece),
            min(event_ts) over piece_of_session as session_start,
            first_value(event_id) over piece_of_session as session_event_id
        from (
            select
                *,
                floor(
                    {{ seconds_between('session_start', 'event_ts') }} / ({{ var('session_cap_hours') }} * 3600)
                ) as piece
            from {{ sessions }}
        ) as pieces
        window
            piece_of_session as (
                partition by {{ visitor }}, session_event_id, piece
                order by place rows between unbounded preceding and current row
            )

    ),
{%- endif %}

of_built_days as (

    select
        site_id,
        event_id,
        session_start,
        session_event_id,
        place
    from {{ 'capped' if var('session_cap_hours') else sessions }}
    where {{ in_built_days('sessions', 'cast(session_start as date)') }}

)

select
    stg_events.site_id,
    stg_events.visitor_key,
    stg_events.event_ts,
    stg_events.event_id,
    cast(of_built_days.session_start as date) as session_date,
    of_built_days.session_start,
    md5(
        coalesce(stg_events.site_id, '') || '|' || stg_events.visitor_key || '|' || of_built_days.session_event_id
    ) as session_id,
    of_built_days.place,
    stg_events.visitor_id,
    stg_events.user_id,
    stg_events.device_id,
    stg_events.client_session_id,
    stg_events.host,
    stg_events.path,
    stg_events.device_category,
    stg_events.browser_family,
    stg_events.os_family,
    stg_events.country,
    stg_events.region,
    stg_events.city,
    stg_events.language,
    stg_events.is_bot,
    stg_events.revenue,
    stg_events.currency,
    stg_events.event_type in ({{ quoted_list(var('page_view_event_types')) }}) as is_page_view,
    stg_events.event_type in ({{ quoted_list(var('conversion_event_types')) }}) as is_conversion,
    coalesce(int_traffic_sources.has_source, false) as has_source
from of_built_days
inner join {{ ref('stg_events') }} as stg_events
    on
        of_built_days.event_id = stg_events.event_id
        and of_built_days.site_id is not distinct from stg_events.site_id
left join {{ ref('int_traffic_sources') }} as int_traffic_sources
    on
        stg_events.utm_source is not distinct from int_traffic_sources.utm_source
        and stg_events.utm_medium is not distinct from int_traffic_sources.utm_medium
        and stg_events.utm_campaign is not distinct from int_traffic_sources.utm_campaign
        and stg_events.click_id_kind is not distinct from int_traffic_sources.click_id_kind
        and stg_events.referrer_host is not distinct from int_traffic_sources.referrer_host
        and stg_events.host is not distinct from int_traffic_sources.host
