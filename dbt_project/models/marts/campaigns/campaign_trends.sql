-- One row per report date (UTC), order and campaign that has an ad request on that day or on one of the seven days
-- before (null is a value of its own): its valid impressions and clicks, and the usual values from its own past.
{{ config(
    partition_by='report_date',
    sort_by=['order_id', 'campaign_id'],
    restates={'before': 0, 'after': 28}
) }}
{%- set days_before = [1, 2, 3, 4, 5, 6, 7] %}
{%- set same_weekdays = [7, 14, 21, 28] %}
{%- set click_rates, impressions = [], [] %}
{%- for days in same_weekdays %}{% do click_rates.append('by_campaign.click_rate_' ~ days) %}{% endfor %}
{%- for days in days_before %}
    {%- do impressions.append('coalesce(by_campaign.impressions_' ~ days ~ ', report_days.none_' ~ days ~ ')') %}
{%- endfor %}
{%- set compared_days = ([0] + days_before + same_weekdays) | unique | join(', ') %}

with published as (

    {{ published_day_rows('daily_aggregates') }}

),

compared as (

    select
        published.published_date as report_date,
        earlier.published_date as compared_date,
        published.published_date - earlier.published_date as days_back
    from published
    inner join published as earlier
        on published.published_date - earlier.published_date in ({{ compared_days }})
    where {{ in_built_days('campaign_trends', 'published.published_date') }}

),

-- A day that was published without the campaign counts as none; one that was not published does not count.
report_days as (

    select
        report_date,
        {%- for days in days_before %}
            max(case when days_back = {{ days }} then 0 end) as none_{{ days }},
        {%- endfor %}
        count(case when days_back between 1 and 7 then 1 end) as compared_days
    from compared
    group by report_date

),

counted as (

    select
        report_date,
        order_id,
        campaign_id,
        cast(sum(valid_impressions) as bigint) as valid_impressions,
        cast(sum(valid_clicks) as bigint) as valid_clicks
    from {{ ref('daily_aggregates') }}
    where {{ in_built_days('campaign_trends', 'report_date', before=28) }}
    group by report_date, order_id, campaign_id

),

-- A column for each compared day: a row for each, with those of days without the campaign, would be far more.
by_campaign as (

    select
        compared.report_date,
        counted.order_id,
        counted.campaign_id,
        {%- for days in days_before %}
            max(case when compared.days_back = {{ days }} then counted.valid_impressions end) as impressions_{{ days }},
        {%- endfor %}
        {%- for days in same_weekdays %}
            max(
                case
                    when
                        compared.days_back = {{ days }}
                        and counted.valid_impressions >= {{ rule('trend_min_impressions') }}
                        then cast(counted.valid_clicks as double) / counted.valid_impressions
                end
            ) as click_rate_{{ days }},
        {%- endfor %}
        coalesce(max(case when compared.days_back = 0 then counted.valid_impressions end), 0) as valid_impressions,
        coalesce(max(case when compared.days_back = 0 then counted.valid_clicks end), 0) as valid_clicks
    from counted
    inner join compared
        on counted.report_date = compared.compared_date
    group by compared.report_date, counted.order_id, counted.campaign_id
    having min(compared.days_back) <= 7

),

usual as (

    select
        by_campaign.report_date,
        by_campaign.order_id,
        by_campaign.campaign_id,
        by_campaign.valid_impressions,
        by_campaign.valid_clicks,
        report_days.compared_days,
        {%- for days in same_weekdays %}
            case when by_campaign.click_rate_{{ days }} is null then 0 else 1 end {{ '+' if not loop.last }}
        {%- endfor %} as compared_weekdays,
        {{ median_of(click_rates) }} as click_rate,
        {{ median_of(impressions) }} as impressions
    from by_campaign
    inner join report_days
        on by_campaign.report_date = report_days.report_date

)

-- The usual values are null if too few days count.
select
    report_date,
    order_id,
    campaign_id,
    valid_impressions,
    valid_clicks,
    {{ percentage('valid_clicks', 'valid_impressions') }} as valid_ctr,
    cast(compared_weekdays as bigint) as compared_weekdays,
    case when compared_weekdays >= {{ rule('trend_min_weekdays') }} then 100 * click_rate end as usual_ctr,
    case
        when compared_weekdays >= {{ rule('trend_min_weekdays') }} then click_rate * valid_impressions
    end as expected_clicks,
    compared_days,
    cast(case when compared_days >= {{ rule('trend_min_days') }} then impressions end as double) as usual_impressions
from usual
