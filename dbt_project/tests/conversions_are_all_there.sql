with given as (

    select
        session_date,
        count(*) as conversions,
        sum(revenue) as revenue
    from {{ ref('fact_events') }}
    where {{ in_built_days('fact_conversions', 'session_date') }} and is_conversion and not is_bot
    group by session_date

),

counted as (

    select
        session_date,
        count(*) as conversions,
        sum(case when value_from = 'event' then revenue end) as revenue
    from {{ ref('fact_conversions') }}
    where {{ in_built_days('fact_conversions', 'session_date') }}
    group by session_date

)

select
    coalesce(given.session_date, counted.session_date) as session_date,
    given.conversions as given_conversions,
    counted.conversions
from given
full outer join counted
    on given.session_date = counted.session_date
where
    given.conversions is distinct from counted.conversions
    or given.revenue is distinct from counted.revenue
