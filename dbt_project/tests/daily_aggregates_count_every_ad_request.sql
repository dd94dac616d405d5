with requests as (

    select
        event_date,
        count(case when request_type = 'impression' then 1 end) as impressions,
        count(case when request_type = 'click' then 1 end) as clicks
    from {{ ref('stg_access_logs__ad_requests') }}
    group by event_date

),

aggregates as (

    select
        report_date,
        sum(impressions) as impressions,
        sum(clicks) as clicks
    from {{ ref('daily_aggregates') }}
    where {{ in_window('report_date') }}
    group by report_date

)

select
    coalesce(requests.event_date, aggregates.report_date) as report_date,
    requests.impressions as requested_impressions,
    aggregates.impressions,
    requests.clicks as requested_clicks,
    aggregates.clicks
from requests
full outer join aggregates
    on requests.event_date = aggregates.report_date
where
    requests.impressions is distinct from aggregates.impressions
    or requests.clicks is distinct from aggregates.clicks
