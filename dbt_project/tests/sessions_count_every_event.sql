with given as (

    select
        session_date,
        count(*) as events,
        count(case when is_page_view then 1 end) as page_views,
        count(*) - count(distinct coalesce(site_id, '') || '|' || event_id) as repeated
    from {{ ref('int_session_events') }}
    group by session_date

),

counted as (

    select
        session_date,
        sum(events) as events,
        sum(page_views) as page_views
    from {{ ref('sessions') }}
    where {{ in_built_days('sessions', 'session_date') }}
    group by session_date

)

select
    coalesce(given.session_date, counted.session_date) as session_date,
    given.events as given_events,
    counted.events,
    given.repeated
from given
full outer join counted
    on given.session_date = counted.session_date
where
    given.events is distinct from counted.events
    or given.page_views is distinct from counted.page_views
    or given.repeated <> 0
