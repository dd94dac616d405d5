-- One row per ad click or ad impression of the window, with the reason why it does not count as valid, or null.
-- The first rule that matches, in the order of the `case` below, is the reason. Every rule stays within one
-- event date, so that a day gets the same verdicts alone and within a range of days.
-- A view: kept as a table, it would be a copy of all impressions in memory.
-- An unknown address (null) equals no other address, and no rule about addresses applies to it.

with ad_requests as (

    select
        event_date,
        event_ts,
        request_type,
        ip_hash,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id,
        ad_size,
        source_date,
        source_object,
        source_line,
        {{ request_reason() }} as request_reason
    from {{ ref('stg_access_logs__ad_requests') }}

),

-- The rules of behaviour judge only clicks without another reason: a failed click that is tried again counts as one
-- click, the second one.
judged_clicks as (

    select
        event_date,
        event_ts,
        ip_hash,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id,
        ad_size,
        source_date,
        source_object,
        source_line,
        lag(event_ts) over (
            partition by event_date, ip_hash, order_id, campaign_id, creative_id
            order by event_ts, source_date, source_object, source_line
        ) as previous_click_ts,
        count(*) over (
            partition by event_date, ip_hash
            order by event_ts
            range between interval '{{ rule("ivt_click_flood_seconds") }}' second preceding and current row
        ) as clicks_until_now
    from ad_requests
    where request_type = 'click' and request_reason is null and ip_hash is not null

),

-- A click belongs to a flood if any stretch of that length that contains it has too many clicks.
measured_clicks as (

    select
        *,
        max(clicks_until_now) over (
            partition by event_date, ip_hash
            order by event_ts
            range between current row and interval '{{ rule("ivt_click_flood_seconds") }}' second following
        ) as most_clicks_around
    from judged_clicks

),

addresses_with_impression as (

    select distinct
        event_date,
        ip_hash
    from ad_requests
    where request_type = 'impression' and ip_hash is not null and request_reason is distinct from 'method'

),

-- A link without a pixel, such as a text link, has clicks but no impressions, so the rule does not apply to it.
ads_with_impression as (

    select distinct
        event_date,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id
    from ad_requests
    where request_type = 'impression' and request_reason is distinct from 'method'

),

click_reasons as (

    select
        clicks.event_date,
        clicks.source_date,
        clicks.source_object,
        clicks.source_line,
        case
            when
                clicks.event_ts <= clicks.previous_click_ts
                + interval '{{ rule("ivt_repeat_click_seconds") }}' second
                then 'repeat_click'
            when clicks.most_clicks_around > {{ rule('ivt_click_flood_clicks') }} then 'click_flood'
            when
                clicks.channel in ({{ quoted_list(rule('ivt_click_without_impression_channels')) }})
                and ads.event_date is not null
                and addresses.ip_hash is null
                and clicks.event_ts >= cast(clicks.event_date as timestamp)
                + interval '{{ rule("ivt_click_without_impression_grace_seconds") }}' second
                then 'click_without_impression'
        end as behaviour_reason
    from measured_clicks as clicks
    left join addresses_with_impression as addresses
        on
            clicks.event_date = addresses.event_date
            and clicks.ip_hash = addresses.ip_hash
    left join ads_with_impression as ads
        on
            clicks.event_date = ads.event_date
            and clicks.order_id is not distinct from ads.order_id
            and clicks.campaign_id is not distinct from ads.campaign_id
            and clicks.publication_code is not distinct from ads.publication_code
            and clicks.channel is not distinct from ads.channel
            and clicks.creative_id is not distinct from ads.creative_id

)

-- Texts that no rule needs are read here, only if a query asks for them, and not carried through the steps above.
select
    requests.event_date,
    requests.event_ts,
    requests.request_type,
    coalesce(requests.request_id, requests.source_object || ':' || requests.source_line) as request_id,
    requests.ip_hash,
    requests.subnet_hash,
    requests.user_agent,
    requests.order_id,
    requests.campaign_id,
    requests.publication_code,
    requests.channel,
    requests.creative_id,
    requests.ad_size,
    coalesce({{ request_reason() }}, click_reasons.behaviour_reason) as invalid_reason
from {{ ref('stg_access_logs__ad_requests') }} as requests
left join click_reasons
    on
        requests.event_date = click_reasons.event_date
        and requests.source_date = click_reasons.source_date
        and requests.source_object = click_reasons.source_object
        and requests.source_line = click_reasons.source_line
