with named as (

    select session_date as date_day
    from {{ ref('fact_events') }}
    where {{ in_built_days('fact_events', 'session_date') }}
    union
    select session_date as date_day
    from {{ ref('fact_sessions') }}
    where {{ in_built_days('fact_sessions', 'session_date') }}
    union
    select report_date as date_day
    from {{ ref('daily_aggregates') }}
    where {{ in_built_days('daily_aggregates', 'report_date') }}

)

select named.date_day
from named
left join {{ ref('dim_dates') }} as dim_dates
    on named.date_day = dim_dates.date_day
where dim_dates.date_day is null
