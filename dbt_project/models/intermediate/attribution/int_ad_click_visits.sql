-- One row per session, of the built days and the day after, that began with a valid click on an ad, with that click. If
-- the last click before the session is invalid, such as the second half of a double click, the valid click before it on
-- the same ad counts.
with links as (

    select
        sessions.session_date,
        sessions.session_id,
        sessions.session_start,
        sessions.ip_hash,
        sessions.user_agent,
        ad_click_sessions.click_ts,
        ad_click_sessions.order_id,
        ad_click_sessions.campaign_id,
        ad_click_sessions.publication_code,
        ad_click_sessions.channel,
        ad_click_sessions.creative_id
    from {{ ref('ad_click_sessions') }} as ad_click_sessions
    inner join {{ ref('sessions') }} as sessions
        on
            ad_click_sessions.session_id = sessions.session_id
            and ad_click_sessions.session_date = sessions.session_date
    -- A click of the last day may lead to a session of the day after.
    where
        {{ in_built_days('touchpoints', 'sessions.session_date', before=0, after=1) }}
        and not sessions.is_bot

),

-- One pass over clicks and sessions in the order of time, because an address may have very many pairs of both.
moments as (

    select
        ip_hash,
        user_agent,
        {{ campaign_parts() }},
        touch_ts as moment,
        0 as kind,
        request_id,
        touch_ts,
        touch_date,
        cast(null as varchar) as session_id,
        cast(null as date) as session_date,
        cast(null as timestamp) as session_start
    from {{ ref('ad_touches') }}
    where touch_type = 'click' and ip_hash is not null and user_agent is not null

    union all

    select
        ip_hash,
        user_agent,
        {{ campaign_parts() }},
        click_ts as moment,
        1 as kind,
        null as request_id,
        null as touch_ts,
        null as touch_date,
        session_id,
        session_date,
        session_start
    from links

),

matched as (

    select
        session_date,
        session_id,
        session_start,
        {{ campaign_parts() }},
        kind,
        last_value(request_id ignore nulls) over so_far as request_id,
        last_value(touch_ts ignore nulls) over so_far as touch_ts,
        last_value(touch_date ignore nulls) over so_far as touch_date
    from moments
    window
        so_far as (
            partition by ip_hash, user_agent, {{ campaign_parts() }}
            order by moment, kind, request_id, session_id
            rows between unbounded preceding and current row
        )

),

of_sessions as (

    select
        *,
        row_number() over (partition by touch_date, request_id order by session_start, session_id) as place
    from matched
    where
        kind = 1
        and touch_ts >= session_start - interval '{{ rule("ad_click_session_seconds") }}' second

)

select
    session_date,
    session_id,
    touch_date,
    request_id,
    touch_ts,
    {{ campaign_parts() }}
from of_sessions
where place = 1
