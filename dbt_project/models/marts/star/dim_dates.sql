-- One row per day (UTC), from the first to the last that facts are published for. The whole history, one file.
{{ config(sort_by=['date_day']) }}

-- depends_on: {{ ref('daily_aggregates') }}
-- depends_on: {{ ref('fact_events') }}
-- depends_on: {{ ref('fact_sessions') }}
with numbered as (

    select
        date_day,
        cast(isodow(date_day) as integer) as iso_weekday
    from {{ days_of_marts(['daily_aggregates', 'fact_events', 'fact_sessions']) }}

)

select
    date_day,
    cast(year(date_day) as integer) as year,
    cast(quarter(date_day) as integer) as quarter,
    cast(month(date_day) as integer) as month,
    cast(isoyear(date_day) as integer) as iso_year,
    cast(weekofyear(date_day) as integer) as iso_week,
    cast(date_trunc('week', date_day) as date) as week_start,
    iso_weekday,
    case iso_weekday
        when 1 then 'Monday'
        when 2 then 'Tuesday'
        when 3 then 'Wednesday'
        when 4 then 'Thursday'
        when 5 then 'Friday'
        when 6 then 'Saturday'
        else 'Sunday'
    end as weekday_name,
    iso_weekday >= 6 as is_weekend
from numbered
