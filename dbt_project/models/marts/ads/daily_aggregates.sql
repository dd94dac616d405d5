-- One row per report date (UTC) and ad: order, campaign, publication, channel, creative and size; null is a value of
-- its own. Gross counts are as logged; valid ones leave out the requests that have an invalid_reason.
{{ config(
    partition_by='report_date',
    sort_by=['order_id', 'campaign_id', 'publication_code', 'channel', 'creative_id', 'ad_size'],
    neighbour_days=60
) }}

-- Grouping by address first makes distinct addresses a plain count, in a third of the time of count(distinct).
with by_address as (

    select
        event_date,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id,
        ad_size,
        ip_hash,
        count(case when request_type = 'impression' then 1 end) as impressions,
        count(case when request_type = 'click' then 1 end) as clicks,
        count(case when request_type = 'impression' and invalid_reason is null then 1 end) as valid_impressions,
        count(case when request_type = 'click' and invalid_reason is null then 1 end) as valid_clicks,
        count(case when invalid_reason = 'status' then 1 end) as invalid_status,
        count(case when invalid_reason = 'method' then 1 end) as invalid_method,
        count(case when invalid_reason = 'bot' then 1 end) as invalid_bot,
        count(case when invalid_reason = 'repeat_click' then 1 end) as invalid_repeat_click,
        count(case when invalid_reason = 'click_flood' then 1 end) as invalid_click_flood,
        count(
            case when invalid_reason = 'click_without_impression' then 1 end
        ) as invalid_click_without_impression
    from {{ ref('int_ad_requests__validity') }}
    group by event_date, order_id, campaign_id, publication_code, channel, creative_id, ad_size, ip_hash

),

by_ad as (

    select
        event_date,
        order_id,
        campaign_id,
        publication_code,
        channel,
        creative_id,
        ad_size,
        cast(sum(impressions) as bigint) as impressions,
        cast(sum(clicks) as bigint) as clicks,
        count(case when clicks > 0 then ip_hash end) as unique_clicks,
        count(case when impressions > 0 then ip_hash end) as unique_ips,
        cast(sum(valid_impressions) as bigint) as valid_impressions,
        cast(sum(valid_clicks) as bigint) as valid_clicks,
        count(case when valid_clicks > 0 then ip_hash end) as valid_unique_clicks,
        count(case when valid_impressions > 0 then ip_hash end) as valid_unique_ips,
        cast(sum(invalid_status) as bigint) as invalid_status,
        cast(sum(invalid_method) as bigint) as invalid_method,
        cast(sum(invalid_bot) as bigint) as invalid_bot,
        cast(sum(invalid_repeat_click) as bigint) as invalid_repeat_click,
        cast(sum(invalid_click_flood) as bigint) as invalid_click_flood,
        cast(sum(invalid_click_without_impression) as bigint) as invalid_click_without_impression
    from by_address
    group by event_date, order_id, campaign_id, publication_code, channel, creative_id, ad_size

)

select
    by_ad.event_date as report_date,
    by_ad.order_id,
    by_ad.campaign_id,
    publications.publication_id,
    by_ad.publication_code,
    publications.publication_name,
    by_ad.channel,
    by_ad.creative_id,
    by_ad.ad_size,
    by_ad.impressions,
    by_ad.clicks,
    by_ad.unique_clicks,
    by_ad.unique_ips,
    {{ percentage('by_ad.clicks', 'by_ad.impressions') }} as ctr,
    by_ad.valid_impressions,
    by_ad.valid_clicks,
    by_ad.valid_unique_clicks,
    by_ad.valid_unique_ips,
    {{ percentage('by_ad.valid_clicks', 'by_ad.valid_impressions') }} as valid_ctr,
    by_ad.impressions - by_ad.valid_impressions as invalid_impressions,
    by_ad.clicks - by_ad.valid_clicks as invalid_clicks,
    by_ad.invalid_status,
    by_ad.invalid_method,
    by_ad.invalid_bot,
    by_ad.invalid_repeat_click,
    by_ad.invalid_click_flood,
    by_ad.invalid_click_without_impression
from by_ad
left join {{ ref('publications') }} as publications
    on by_ad.publication_code = publications.publication_code
