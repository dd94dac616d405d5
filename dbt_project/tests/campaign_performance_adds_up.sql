-- Of every day and model: impressions and clicks are those of daily_aggregates, the shares in conversions add up to the
-- conversions, and where nothing is in more than one currency, so do revenue and spend. Gives those where they are not.
with models as (

    select model
    from (values {{ attribution_models() }}) as models (model)

),

requested as (

    select
        report_date,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(valid_impressions) as valid_impressions,
        sum(valid_clicks) as valid_clicks
    from {{ ref('daily_aggregates') }}
    where {{ in_built_days('campaign_performance', 'report_date') }}
    group by report_date

),

converted as (

    select
        session_date as report_date,
        model,
        count(distinct conversion_id) as conversions,
        count(distinct case when conversion_type = 'install' then conversion_id end) as installs,
        {{ sum_of_one_currency('revenue', 'currency') }} as revenue
    from {{ ref('attribution') }}
    where {{ in_built_days('campaign_performance', 'session_date') }}
    group by session_date, model

),

spent as (

    select
        spend_date as report_date,
        {{ sum_of_one_currency('spend', 'currency') }} as spend
    from {{ ref('int_campaign_spend') }}
    where {{ in_built_days('campaign_performance', 'spend_date') }}
    group by spend_date

),

given as (

    select
        days.report_date,
        models.model,
        coalesce(requested.impressions, 0) as impressions,
        coalesce(requested.clicks, 0) as clicks,
        coalesce(requested.valid_impressions, 0) as valid_impressions,
        coalesce(requested.valid_clicks, 0) as valid_clicks,
        coalesce(converted.conversions, 0) as conversions,
        coalesce(converted.installs, 0) as installs,
        converted.revenue,
        spent.spend
    from (
        select report_date from requested
        union
        select report_date from converted
        union
        select report_date from spent
    ) as days
    cross join models
    left join requested
        on days.report_date = requested.report_date
    left join converted
        on days.report_date = converted.report_date and models.model = converted.model
    left join spent
        on days.report_date = spent.report_date

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
    coalesce(given.report_date, counted.report_date) as report_date,
    coalesce(given.model, counted.model) as model,
    given.conversions as given_conversions,
    counted.conversions,
    given.revenue as given_revenue,
    counted.revenue,
    given.impressions as given_impressions,
    counted.impressions
from given
full outer join counted
    on given.report_date = counted.report_date and given.model = counted.model
where
    given.impressions is distinct from counted.impressions
    or given.clicks is distinct from counted.clicks
    or given.valid_impressions is distinct from counted.valid_impressions
    or given.valid_clicks is distinct from counted.valid_clicks
    or given.conversions is distinct from counted.conversions
    or given.installs is distinct from counted.installs
    or given.revenue <> counted.revenue
    or given.spend <> counted.spend
