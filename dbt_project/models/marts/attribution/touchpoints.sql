-- One row per touch: a visit, a click on a tracking link, and every valid ad click and impression that led to no visit.
-- A visit that an ad click led to is one touch, and carries the ad.
{{ config(
    partition_by='touch_date',
    sort_by=['touch_type', 'touch_ts', 'touch_id'],
    neighbour_days=60,
    restates={'before': 1, 'after': 2},
    is_large=true
) }}

with visits as (

    select
        visits.session_date as touch_date,
        visits.touch_id,
        'session' as touch_type,
        visits.touch_ts,
        visits.person_key,
        visits.site_id,
        visits.tenant_id,
        visits.session_id,
        visits.source,
        visits.medium,
        {{ campaign_of_visit('visits', 'ads') }},
        ads.request_id as ad_click_id,
        visits.click_id,
        visits.click_id_kind,
        visits.device_id,
        visits.advertising_id,
        visits.device_fingerprint,
        visits.ip_hash,
        visits.subnet_hash,
        visits.user_agent,
        visits.source = '(direct)' and ads.session_id is null as is_direct
    from {{ ref('int_visits') }} as visits
    left join {{ ref('int_ad_click_visits') }} as ads
        on
            visits.session_id = ads.session_id
            and visits.session_date = ads.session_date
            and visits.visit_number = 1

),

tracking_clicks as (

    select
        clicks.session_date as touch_date,
        'event:' || {{ event_key('clicks') }} as touch_id,
        'click' as touch_type,
        clicks.event_ts as touch_ts,
        clicks.person_key,
        clicks.site_id,
        clicks.tenant_id,
        clicks.session_id,
        clicks.source,
        clicks.medium,
        clicks.channel,
        case when clicks.click_id_kind = 'oid' then clicks.click_id end as order_id,
        coalesce(clicks.campaign_id, clicks.utm_campaign) as campaign_id,
        cast(null as varchar) as publication_code,
        cast(null as varchar) as creative_id,
        cast(null as varchar) as ad_click_id,
        clicks.click_id,
        clicks.click_id_kind,
        clicks.device_id,
        clicks.advertising_id,
        clicks.device_fingerprint,
        clicks.ip_hash,
        clicks.subnet_hash,
        clicks.user_agent,
        false as is_direct
    from {{ ref('int_tracking_clicks') }} as clicks

),

other_ads as (

    select
        ad_touches.touch_date,
        ad_touches.touch_type || ':' || ad_touches.request_id as touch_id,
        ad_touches.touch_type,
        ad_touches.touch_ts,
        cast(null as varchar) as person_key,
        cast(null as varchar) as site_id,
        cast(null as varchar) as tenant_id,
        cast(null as varchar) as session_id,
        cast(null as varchar) as source,
        cast(null as varchar) as medium,
        ad_touches.channel,
        ad_touches.order_id,
        ad_touches.campaign_id,
        ad_touches.publication_code,
        ad_touches.creative_id,
        cast(null as varchar) as ad_click_id,
        cast(null as varchar) as click_id,
        cast(null as varchar) as click_id_kind,
        cast(null as varchar) as device_id,
        cast(null as varchar) as advertising_id,
        cast(null as varchar) as device_fingerprint,
        ad_touches.ip_hash,
        ad_touches.subnet_hash,
        ad_touches.user_agent,
        false as is_direct
    from {{ ref('ad_touches') }} as ad_touches
    left join {{ ref('int_ad_click_visits') }} as visits
        on
            ad_touches.touch_date = visits.touch_date
            and ad_touches.request_id = visits.request_id
            and ad_touches.touch_type = 'click'
    where {{ in_built_days('touchpoints', 'ad_touches.touch_date') }} and visits.request_id is null

),

touches as (

    select *
    from visits
    union all
    select *
    from tracking_clicks
    union all
    select *
    from other_ads

)

select
    *,
    {{ campaign_key('touches') }} as campaign_key
from touches
