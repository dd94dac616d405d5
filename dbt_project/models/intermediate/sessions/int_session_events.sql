-- One row per event, with the session that it belongs to, of the sessions that begin on the days to be built.
-- depends_on: {{ ref('conversion_events') }}
{%- set sessions = 'cut_at_campaign' if rule('session_split_on_campaign') else 'cut_at_midnight' %}
{%- set longest_return = [rule('session_return_seconds') | int, rule('session_timeout_seconds') | int] | max %}
{%- set by_client = rule('session_by') != 'timeout' %}
{%- set owner = "coalesce('session:' || stg_events.client_session_id, stg_events.visitor_key)" if by_client
    else 'stg_events.visitor_key' %}

-- Sorting moves every row twice, so rows hold only the columns that sessions aggregate, and the key is a number: texts
-- would take half as long again. Columns that a session takes from a single event are joined later.
with events as (

    select
        {{ md5_number("coalesce(stg_events.site_id || chr(31), '') || " ~ owner) }} as owner_number,
        stg_events.site_id,
        stg_events.visitor_key,
        stg_events.event_ts,
        stg_events.event_id,
        {%- if by_client %}
            stg_events.client_session_id is not null as is_of_client,
            coalesce(
                'visitor:' || stg_events.visitor_id,
                'device:' || stg_events.device_id,
                'cookie:' || stg_events.cookie_id,
                'advertising:' || stg_events.advertising_id
            ) as kept_id,
        {%- endif %}
        {%- if rule('session_split_on_campaign') %}
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
        stg_events.user_id,
        stg_events.host,
        stg_events.path,
        {{ is_robot('stg_events') }} as is_bot,
        {{ is_sent_by_server('stg_events') }} as is_sent_by_server,
        stg_events.event_type in ({{ quoted_list(rule('page_view_event_types')) }}) as is_page_view,
        stg_events.event_type in (
            {{ quoted_list(seed_values('conversion_events', 'event_type')) }}
        ) as is_conversion,
        coalesce(int_traffic_sources.has_source, false) as has_source,
        coalesce(int_traffic_sources.is_return, false) as is_return
    from {{ ref('stg_events') }} as stg_events
    left join {{ ref('int_traffic_sources') }} as int_traffic_sources
        on {{ same_traffic_source('stg_events') }}

),

with_previous as (

    select
        *,
        lag(event_ts) over in_order as previous_ts,
        row_number() over in_order as place
    from events
    window in_order as (partition by owner_number order by event_ts, event_id)

),

with_pauses as (

    select
        *,
        previous_ts is null
        {%- if by_client %}
            or event_ts > previous_ts + case
                when is_of_client then interval '{{ rule('session_client_timeout_seconds') }}' second
                when is_return then interval '{{ longest_return }}' second
                else interval '{{ rule('session_timeout_seconds') }}' second
            end
        {%- else %}
            or event_ts > previous_ts + case
                when is_return then interval '{{ longest_return }}' second
                else interval '{{ rule('session_timeout_seconds') }}' second
            end
        {%- endif %} as is_after_pause,
        previous_ts is null or cast(event_ts as date) > cast(previous_ts as date) as is_first_of_day
    from with_previous

),

-- A chain of events has no pause. Both the chain's and the day's first event are found in one pass.
with_chains as (

    select
        *,
        max(case when is_after_pause then event_ts end) over chain_so_far as chain_start,
        max(case when is_after_pause then place end) over chain_so_far as chain_place,
        max(case when is_first_of_day then event_ts end) over chain_so_far as day_start,
        max(case when is_first_of_day then place end) over chain_so_far as day_place
    from with_pauses
    window
        chain_so_far as (
            partition by owner_number
            order by place rows between unbounded preceding and current row
        )

),

-- A chain that already lasted through the whole day before is cut at midnight; otherwise a day would depend on all days
-- before it. Such a chain comes from a robot or a shared id.
cut_at_midnight as (

    select
        * exclude (chain_start, chain_place, day_start, day_place),
        case when is_cut then day_start else chain_start end as session_start,
        case when is_cut then day_place else chain_place end as session_place
    from (
        select
            *,
            cast(chain_start as date) < cast(event_ts as date) - 1 as is_cut
        from with_chains
    ) as chains

),
{%- if rule('session_split_on_campaign') %}

-- The campaign in effect is the last one named in the session so far.
    with_campaigns as (

        select
            *,
            last_value(campaign ignore nulls) over (
                partition by owner_number, session_place
                order by place rows between unbounded preceding and 1 preceding
            ) as campaign_in_effect
        from cut_at_midnight

    ),

    cut_at_campaign as (

        select
            * exclude (session_start, session_place),
            coalesce(max(case when is_cut_here then event_ts end) over session_so_far, session_start) as session_start,
            coalesce(max(case when is_cut_here then place end) over session_so_far, session_place) as session_place
        from (
            select
                *,
                campaign <> coalesce(campaign_in_effect, '') and place <> session_place as is_cut_here
            from with_campaigns
        ) as marked
        window
            session_so_far as (
                partition by owner_number, session_place
                order by place rows between unbounded preceding and current row
            )

    ),
{%- endif %}
{%- if rule('session_cap_hours') %}

-- Counted from the beginning of the session, without regard to other cuts in between.
    capped as (

        select
            * exclude (session_start, session_place, piece),
            min(event_ts) over piece_of_session as session_start,
            min(place) over piece_of_session as session_place
        from (
            select
                *,
                floor(
                    {{ seconds_between('session_start', 'event_ts') }} / ({{ rule('session_cap_hours') }} * 3600)
                ) as piece
            from {{ sessions }}
        ) as pieces
        window
            piece_of_session as (
                partition by owner_number, session_place, piece
                order by place rows between unbounded preceding and current row
            )

    ),
{%- endif %}

{%- if by_client %}

-- Trackers that count seconds for session ids give one to two visitors. Where events of a session name several, it is
-- one session each; what names none goes with the visitor before it, or with the first.
    of_visitors as (

        select
            * exclude (session_start, session_place),
            min(event_ts) over of_one_visitor as session_start,
            min(place) over of_one_visitor as session_place
        from (
            select
                *,
                coalesce(
                    last_value(kept_id ignore nulls) over so_far,
                    first_value(kept_id ignore nulls) over whole_session
                ) as owner_id
            from {{ 'capped' if rule('session_cap_hours') else sessions }}
            window
                so_far as (
                    partition by owner_number, session_place
                    order by place rows between unbounded preceding and current row
                ),
                whole_session as (
                    partition by owner_number, session_place
                    order by place rows between unbounded preceding and unbounded following
                )
        ) as with_owners
        window of_one_visitor as (partition by owner_number, session_place, owner_id)

    ),

    -- The session's visitor is known by the best id that any of its events carries.
    with_visitor as (

        select
            * exclude (visitor_key),
            visitor_key as event_visitor_key,
            first_value(visitor_key) over (
                partition by owner_number, session_place
                order by
                    case split_part(visitor_key, ':', 1)
                        {%- for kind in ('visitor', 'fingerprint', 'device', 'cookie', 'advertising', 'user') %}
                            when '{{ kind }}' then {{ loop.index }}
                        {%- endfor %}
                        else 7
                    end,
                    place
                rows between unbounded preceding and unbounded following
            ) as visitor_key
        from of_visitors

    ),
{%- endif %}

of_built_days as (

    select
        owner_number,
        session_place,
        place,
        site_id,
        visitor_key,
        {{ 'event_visitor_key' if by_client else 'visitor_key' }} as event_visitor_key,
        event_ts,
        event_id,
        cast(session_start as date) as session_date,
        session_start,
        user_id,
        host,
        path,
        is_bot,
        is_sent_by_server,
        is_page_view,
        is_conversion,
        has_source
    from {{ 'with_visitor' if by_client else 'capped' if rule('session_cap_hours') else sessions }}
    where {{ in_built_days('sessions', 'cast(session_start as date)') }}

)

select *
from of_built_days
