with given as (

    select
        daily_aggregates.report_date,
        of_model.model,
        daily_aggregates.impressions,
        daily_aggregates.clicks,
        daily_aggregates.valid_impressions,
        daily_aggregates.valid_clicks,
        cast(null as varchar) as conversion_id,
        cast(null as varchar) as install_id,
        cast(null as decimal(18, 4)) as revenue,
        cast(null as varchar) as currency,
        cast(null as decimal(18, 4)) as spend,
        cast(null as varchar) as spend_currency
    from {{ ref('daily_aggregates') }} as daily_aggregates
    cross join (values {{ attribution_models() }}) as of_model (model)
    where {{ in_built_days('campaign_performance', 'daily_aggregates.report_date') }}
    union all
    select
        session_date as report_date,
        model,
        0 as impressions,
        0 as clicks,
        0 as valid_impressions,
        0 as valid_clicks,
        case when not is_refund then conversion_id end as conversion_id,
        case when not is_refund and conversion_type = 'install' then conversion_id end as install_id,
        revenue,
        currency,
        null as spend,
        null as spend_currency
    from {{ ref('attribution') }}
    where {{ in_built_days('campaign_performance', 'session_date') }}
    union all
    select
        int_campaign_spend.spend_date as report_date,
        of_model.model,
        0 as impressions,
        0 as clicks,
        0 as valid_impressions,
        0 as valid_clicks,
        null as conversion_id,
        null as install_id,
        null as revenue,
        null as currency,
        int_campaign_spend.spend,
        int_campaign_spend.currency as spend_currency
    from {{ ref('int_campaign_spend') }} as int_campaign_spend
    cross join (values {{ attribution_models() }}) as of_model (model)
    where {{ in_built_days('campaign_performance', 'int_campaign_spend.spend_date') }}

),

expected as (

    select
        report_date,
        model,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(valid_impressions) as valid_impressions,
        sum(valid_clicks) as valid_clicks,
        count(distinct conversion_id) as conversions,
        count(distinct install_id) as installs,
        {{ sum_of_one_currency('revenue', 'currency') }} as revenue,
        {{ sum_of_one_currency('spend', 'spend_currency') }} as spend
    from given
    group by report_date, model

),

counted as (

    select
        report_date,
        model,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(valid_impressions) as valid_impressions,
        sum(valid_clicks) as valid_clicks,
        sum(conversions) as conversions,
        sum(installs) as installs,
        sum(revenue) as revenue,
        sum(spend) as spend
    from {{ ref('campaign_performance') }}
    where {{ in_built_days('campaign_performance', 'report_date') }}
    group by report_date, model

)

select
    coalesce(expected.report_date, counted.report_date) as report_date,
    coalesce(expected.model, counted.model) as model,
    expected.conversions as expected_conversions,
    counted.conversions,
    expected.revenue as expected_revenue,
    counted.revenue,
    expected.impressions as expected_impressions,
    counted.impressions
from expected
full outer join counted
    on expected.report_date = counted.report_date and expected.model = counted.model
where
    expected.impressions is distinct from counted.impressions
    or expected.clicks is distinct from counted.clicks
    or expected.valid_impressions is distinct from counted.valid_impressions
    or expected.valid_clicks is distinct from counted.valid_clicks
    or expected.conversions is distinct from counted.conversions
    or expected.installs is distinct from counted.installs
    or (expected.revenue is not null and expected.revenue is distinct from counted.revenue)
    or (expected.spend is not null and expected.spend is distinct from counted.spend)
