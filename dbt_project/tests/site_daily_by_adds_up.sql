with given as (

    select
        session_date,
        count(*) as sessions,
        sum(page_views) as page_views
    from {{ ref('sessions') }}
    where {{ in_built_days('site_daily_by', 'session_date') }}
    group by session_date

),

expected as (

    select
        given.*,
        dimensions.dimension
    from given
    cross join (values ('channel'), ('device_category'), ('country'), ('page')) as dimensions (dimension)

),

counted as (

    select
        report_date,
        dimension,
        sum(coalesce(entries, sessions)) as sessions,
        sum(coalesce(exits, sessions)) as ended_sessions,
        sum(page_views) as page_views
    from {{ ref('site_daily_by') }}
    where {{ in_built_days('site_daily_by', 'report_date') }}
    group by report_date, dimension

)

select
    coalesce(expected.session_date, counted.report_date) as report_date,
    coalesce(expected.dimension, counted.dimension) as dimension,
    expected.sessions as given_sessions,
    counted.sessions
from expected
full outer join counted
    on expected.session_date = counted.report_date and expected.dimension = counted.dimension
where
    expected.sessions is distinct from counted.sessions
    or expected.sessions is distinct from counted.ended_sessions
    or expected.page_views is distinct from counted.page_views
