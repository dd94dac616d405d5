-- One row per session, with its person and the campaign that brought it. It belongs to the day of its first event.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'session_start', 'session_id'],
    neighbour_days=60,
    restates={'before': 1, 'after': 30}
) }}

with campaigns as (

    select
        sessions.session_id,
        {{ campaign_of_visit('sessions', 'ad_click_sessions') }}
    from {{ ref('sessions') }} as sessions
    left join {{ ref('ad_click_sessions') }} as ad_click_sessions
        on sessions.session_id = ad_click_sessions.session_id
    where {{ in_built_days('fact_sessions', 'sessions.session_date') }}

)

select
    sessions.session_date,
    sessions.session_id,
    sessions.site_id,
    sessions.tenant_id,
    {{ person_key('sessions.user_id', 'sessions.visitor_key', 'sessions.is_bot') }} as person_key,
    {{ campaign_key('campaigns') }} as campaign_key,
    sessions.session_start,
    sessions.session_end,
    sessions.duration_seconds,
    sessions.events,
    sessions.page_views,
    sessions.conversions,
    sessions.revenue,
    sessions.currency,
    sessions.has_several_currencies,
    sessions.source,
    sessions.medium,
    sessions.channel,
    campaigns.order_id,
    campaigns.campaign_id,
    campaigns.publication_code,
    campaigns.creative_id,
    campaigns.channel as campaign_channel,
    sessions.entry_page,
    sessions.exit_page,
    sessions.entry_page_category,
    sessions.device_category,
    sessions.browser_family,
    sessions.os_family,
    sessions.country,
    sessions.is_bounce,
    sessions.is_engaged,
    sessions.session_sequence,
    sessions.is_new_visitor,
    sessions.is_bot
from {{ ref('sessions') }} as sessions
inner join campaigns
    on sessions.session_id = campaigns.session_id
