with given as (

    select
        session_date,
        count(*) as sessions,
        sum(page_views) as page_views,
        sum(events) as events
    from {{ ref('sessions') }}
    where {{ in_built_days('site_daily', 'session_date') }}
    group by session_date

),

counted as (

    select
        report_date,
        sum(sessions) as sessions,
        sum(page_views) as page_views,
        sum(events) as events
    from {{ ref('site_daily') }}
    where {{ in_built_days('site_daily', 'report_date') }}
    group by report_date

)

select
    coalesce(given.session_date, counted.report_date) as report_date,
    given.sessions as given_sessions,
    counted.sessions
from given
full outer join counted
    on given.session_date = counted.report_date
where
    given.sessions is distinct from counted.sessions
    or given.page_views is distinct from counted.page_views
    or given.events is distinct from counted.events
