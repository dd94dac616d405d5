with given as (

    select
        session_date,
        count(*) as all_rows
    from {{ ref('fact_events') }}
    where {{ in_built_days('fact_conversions', 'session_date') }} and is_conversion and not is_bot
    group by session_date

),

of_sessions as (

    select
        session_date,
        sum(conversions) as conversions
    from {{ ref('sessions') }}
    where {{ in_built_days('fact_conversions', 'session_date') }} and not is_bot
    group by session_date

),

counted as (

    select
        session_date,
        count(*) as all_rows,
        sum(conversions) as conversions
    from {{ ref('fact_conversions') }}
    where {{ in_built_days('fact_conversions', 'session_date') }}
    group by session_date

)

select
    coalesce(given.session_date, of_sessions.session_date, counted.session_date) as session_date,
    given.all_rows as given_rows,
    counted.all_rows,
    of_sessions.conversions as given_conversions,
    counted.conversions
from given
full outer join counted
    on given.session_date = counted.session_date
full outer join of_sessions
    on coalesce(given.session_date, counted.session_date) = of_sessions.session_date
where
    given.all_rows is distinct from counted.all_rows
    or coalesce(of_sessions.conversions, 0) <> coalesce(counted.conversions, 0)
