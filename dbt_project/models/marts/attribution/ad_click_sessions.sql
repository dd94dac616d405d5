-- One row per session that began with a click on an ad: the click that led to it.
-- A click and a session belong together when they have the same address and user agent, the session enters on the host
-- that the click was sent to, and begins within `ad_click_session_seconds` of it. A session takes the last such click,
-- and a click goes to the first such session.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'session_start', 'session_id'],
    neighbour_days=30,
    restates={'before': 1, 'after': 30}
) }}

with clicks as (

    select
        event_ts as click_ts,
        coalesce(request_id, source_object || ':' || source_line) as click_id,
        ip_hash,
        user_agent,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id,
        ad_size,
        landing_url,
        {{ bare_host(
            "regexp_extract(landing_url, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1)"
        ) }} as landing_host
    from {{ source('raw_around', 'access_logs') }}
    where request_type = 'click' and landing_url is not null and ip_hash is not null and user_agent is not null

),

entries as (

    select
        session_date,
        session_id,
        site_id,
        tenant_id,
        session_start,
        ip_hash,
        user_agent,
        {{ bare_host('entry_host') }} as entry_host
    from {{ ref('sessions') }}
    where {{ in_built_days('ad_click_sessions', 'session_date') }}

),

pairs as (

    select
        entries.session_date,
        entries.session_id,
        entries.site_id,
        entries.tenant_id,
        entries.session_start,
        clicks.*,
        row_number() over (
            partition by entries.session_id order by clicks.click_ts desc, clicks.click_id desc
        ) as place_of_click
    from entries
    inner join clicks
        on
            entries.ip_hash = clicks.ip_hash
            and entries.user_agent = clicks.user_agent
            and entries.entry_host = clicks.landing_host
            and entries.session_start >= clicks.click_ts
            and entries.session_start <= clicks.click_ts
            + interval '{{ rule("ad_click_session_seconds") }}' second

),

last_clicks as (

    select
        *,
        row_number() over (partition by click_id order by session_start, session_id) as place_of_session
    from pairs
    where place_of_click = 1

)

select
    session_date,
    session_id,
    site_id,
    tenant_id,
    session_start,
    click_id,
    click_ts,
    {{ seconds_between('click_ts', 'session_start') }} as seconds_to_session,
    order_id,
    campaign_id,
    publication_code,
    channel,
    creative_id,
    ad_size,
    landing_url
from last_clicks
where place_of_session = 1
