-- One row per report date (UTC), attribution model and campaign: order, campaign, publication, creative and channel;
-- null is a value of its own. The rows of all models repeat a campaign's spend, impressions and clicks; its conversions
-- and revenue are those that the row's model gives it. Conversions without a campaign have the channels (organic) and
-- (unattributed).
{{ config(
    partition_by='report_date',
    sort_by=['order_id', 'campaign_id', 'publication_code', 'creative_id', 'channel', 'model'],
    neighbour_days=60,
    restates={'before': 1, 'after': 60}
) }}

with credits as (

    select
        session_date as report_date,
        model,
        case when touch_id is not null then order_id end as order_id,
        case when touch_id is not null then campaign_id end as campaign_id,
        case when touch_id is not null then publication_code end as publication_code,
        case when touch_id is not null then creative_id end as creative_id,
        case when touch_id is null then '(' || status || ')' else channel end as channel,
        conversion_type,
        case when is_refund then 0 when touch_id is null then 1 else credit end as credit,
        -- A touch without a share in a model has no revenue and no currency.
        case when touch_id is null or revenue_share <> 0 then revenue end as revenue,
        currency
    from {{ ref('attribution') }}
    where {{ in_built_days('campaign_performance', 'session_date') }}

),

credited as (

    select
        report_date,
        model,
        {{ campaign_parts() }},
        sum(case when conversion_type = 'install' then credit end) as installs,
        sum(credit) as conversions,
        {{ sum_of_one_currency('revenue', 'currency') }} as revenue,
        {{ one_currency('revenue', 'currency') }} as currency
    from credits
    group by report_date, model, {{ campaign_parts() }}

),

requested as (

    select
        report_date,
        {{ campaign_parts() }},
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(valid_impressions) as valid_impressions,
        sum(valid_clicks) as valid_clicks
    from {{ ref('daily_aggregates') }}
    where {{ in_built_days('campaign_performance', 'report_date') }}
    group by report_date, {{ campaign_parts() }}

),

spent as (

    select
        spend_date as report_date,
        {{ campaign_parts() }},
        {{ sum_of_one_currency('spend', 'currency') }} as spend,
        {{ one_currency('spend', 'currency') }} as spend_currency
    from {{ ref('int_campaign_spend') }}
    where {{ in_built_days('campaign_performance', 'spend_date') }}
    group by spend_date, {{ campaign_parts() }}

),

campaigns as (

    select
        report_date,
        {{ campaign_parts() }}
    from credited
    union
    select
        report_date,
        {{ campaign_parts() }}
    from requested
    union
    select
        report_date,
        {{ campaign_parts() }}
    from spent

),

measured as (

    select
        campaigns.*,
        models.model,
        spent.spend,
        spent.spend_currency,
        requested.impressions,
        requested.clicks,
        requested.valid_impressions,
        requested.valid_clicks,
        credited.installs,
        credited.conversions,
        credited.revenue,
        credited.currency
    from campaigns
    cross join (values {{ attribution_models() }}) as models (model)
    left join spent
        on {{ same_campaign('campaigns', 'spent') }}
    left join requested
        on {{ same_campaign('campaigns', 'requested') }}
    left join credited
        on {{ same_campaign('campaigns', 'credited') }} and models.model = credited.model

)

select
    measured.report_date,
    measured.model,
    {{ campaign_key('measured') }} as campaign_key,
    measured.order_id,
    measured.campaign_id,
    publications.publication_id,
    measured.publication_code,
    publications.publication_name,
    measured.creative_id,
    measured.channel,
    measured.spend,
    measured.spend_currency,
    cast(coalesce(measured.impressions, 0) as bigint) as impressions,
    cast(coalesce(measured.clicks, 0) as bigint) as clicks,
    cast(coalesce(measured.valid_impressions, 0) as bigint) as valid_impressions,
    cast(coalesce(measured.valid_clicks, 0) as bigint) as valid_clicks,
    cast(coalesce(measured.installs, 0) as decimal(18, 9)) as installs,
    cast(coalesce(measured.conversions, 0) as decimal(18, 9)) as conversions,
    measured.revenue,
    measured.currency,
    {{ ratio('measured.spend', 'measured.installs') }} as cpi,
    {{ ratio('measured.spend', 'measured.conversions') }} as cpa,
    case
        when measured.currency = measured.spend_currency then {{ ratio('measured.revenue', 'measured.spend') }}
    end as roas
from measured
left join {{ ref('publications') }} as publications
    on measured.publication_code = publications.publication_code
