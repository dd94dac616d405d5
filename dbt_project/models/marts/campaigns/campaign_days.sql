-- One row per report date (UTC) and campaign active on that day: it brought a session or a touch, had an impression, a
-- click or spend, or has a share in a conversion. dim_campaigns is made from it: it is small enough for each run to
-- read the whole history.
{{ config(
    partition_by='report_date',
    sort_by=['campaign_key'],
    neighbour_days='all',
    restates={'before': 1, 'after': 60}
) }}

with heard_of as (

    select
        session_date as report_date,
        order_id,
        campaign_id,
        publication_code,
        creative_id,
        campaign_channel as channel,
        count(*) as sessions
    from {{ ref('fact_sessions') }}
    where {{ in_built_days('campaign_days', 'session_date') }}
    group by session_date, order_id, campaign_id, publication_code, creative_id, campaign_channel
    union all
    select distinct
        touch_date as report_date,
        {{ campaign_parts() }},
        0 as sessions
    from {{ ref('touchpoints') }}
    where {{ in_built_days('campaign_days', 'touch_date') }}
    union all
    select distinct
        report_date,
        {{ campaign_parts() }},
        0 as sessions
    from {{ ref('campaign_performance') }}
    where {{ in_built_days('campaign_days', 'report_date') }}

),

counted as (

    select
        report_date,
        {{ campaign_parts() }},
        cast(sum(sessions) as bigint) as sessions
    from heard_of
    group by report_date, {{ campaign_parts() }}

)

select
    counted.report_date,
    {{ campaign_key('counted') }} as campaign_key,
    counted.order_id,
    counted.campaign_id,
    counted.publication_code,
    counted.creative_id,
    counted.channel,
    counted.sessions
from counted
