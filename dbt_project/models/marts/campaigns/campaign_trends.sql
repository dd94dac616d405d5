-- One row per report date (UTC), order and campaign that has an ad request on that day or on one of the seven days
-- before, a null being a value like any other: its valid impressions and clicks, and what is usual by its own past.
{{ config(
    partition_by='report_date',
    sort_by=['order_id', 'campaign_id'],
    restates={'before': 0, 'after': 28}
) }}

with published as (

    {{ published_day_rows('daily_aggregates') }}

),

-- A day that was published without the campaign counts as none; one that was not published does not count.
compared_days as (

    select
        published.published_date as report_date,
        earlier.published_date as compared_date,
        published.published_date - earlier.published_date as days_back
    from published
    inner join published as earlier
        on
            published.published_date - earlier.published_date between 0 and 7
            or published.published_date - earlier.published_date in (14, 21, 28)
    where {{ in_built_days('campaign_trends', 'published.published_date') }}

),

counted as (

    select
        report_date,
        order_id,
        campaign_id,
        sum(valid_impressions) as valid_impressions,
        sum(valid_clicks) as valid_clicks
    from {{ ref('daily_aggregates') }}
    where {{ in_built_days('campaign_trends', 'report_date', before=28) }}
    group by report_date, order_id, campaign_id

),

campaigns as (

    select distinct
        compared_days.report_date,
        counted.order_id,
        counted.campaign_id
    from compared_days
    inner join counted
        on compared_days.compared_date = counted.report_date
    where compared_days.days_back <= 7

),

figures as (

    select
        campaigns.report_date,
        campaigns.order_id,
        campaigns.campaign_id,
        compared_days.days_back,
        coalesce(counted.valid_impressions, 0) as valid_impressions,
        coalesce(counted.valid_clicks, 0) as valid_clicks
    from campaigns
    inner join compared_days
        on campaigns.report_date = compared_days.report_date
    left join counted
        on
            compared_days.compared_date = counted.report_date
            and campaigns.order_id is not distinct from counted.order_id
            and campaigns.campaign_id is not distinct from counted.campaign_id

),

trends as (

    select
        report_date,
        order_id,
        campaign_id,
        sum(case when days_back = 0 then valid_impressions end) as valid_impressions,
        sum(case when days_back = 0 then valid_clicks end) as valid_clicks,
        count(
            case
                when days_back in (7, 14, 21, 28) and valid_impressions >= {{ var('trend_min_impressions') }} then 1
            end
        ) as compared_weekdays,
        median(
            case
                when days_back in (7, 14, 21, 28) and valid_impressions >= {{ var('trend_min_impressions') }}
                    then cast(valid_clicks as double) / valid_impressions
            end
        ) as usual_clicks_by_impressions,
        count(case when days_back between 1 and 7 then 1 end) as compared_days,
        median(case when days_back between 1 and 7 then valid_impressions end) as usual_impressions
    from figures
    group by report_date, order_id, campaign_id

),

-- What is usual is unknown where too few days tell it.
known as (

    select
        *,
        case
            when compared_weekdays >= {{ var('trend_min_weekdays') }} then usual_clicks_by_impressions
        end as known_clicks_by_impressions,
        case when compared_days >= {{ var('trend_min_days') }} then usual_impressions end as known_impressions
    from trends

)

select
    report_date,
    order_id,
    campaign_id,
    cast(valid_impressions as bigint) as valid_impressions,
    cast(valid_clicks as bigint) as valid_clicks,
    {{ percentage('valid_clicks', 'valid_impressions') }} as valid_ctr,
    compared_weekdays,
    100 * known_clicks_by_impressions as usual_ctr,
    known_clicks_by_impressions * valid_impressions as expected_clicks,
    compared_days,
    cast(known_impressions as double) as usual_impressions
from known
