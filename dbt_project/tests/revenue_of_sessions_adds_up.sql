with given as (

    select
        fact_conversions.session_date,
        fact_conversions.session_id,
        {{ sum_of_one_currency('fact_conversions.revenue', 'fact_conversions.currency') }} as revenue
    from {{ ref('fact_conversions') }} as fact_conversions
    where {{ in_built_days('fact_conversions', 'fact_conversions.session_date') }}
    group by fact_conversions.session_date, fact_conversions.session_id

)

select
    sessions.session_date,
    sessions.session_id,
    sessions.revenue,
    given.revenue as given_revenue
from {{ ref('sessions') }} as sessions
left join given
    on sessions.session_date = given.session_date and sessions.session_id = given.session_id
where
    {{ in_built_days('fact_conversions', 'sessions.session_date') }}
    and not sessions.is_bot
    and sessions.revenue is distinct from given.revenue
