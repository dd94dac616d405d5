-- One row per day (UTC), from the first to the last on which a campaign was heard of: no fact is outside of them. The
-- whole history, one file.
{{ config(sort_by=['date_day']) }}

with ends as (

    select
        min(report_date) as first_day,
        max(report_date) as last_day
    from {{ ref('campaign_days') }}

),

days as (

    select {{ days_from_to('first_day', 'last_day') }} as date_day
    from ends

),

numbered as (

    select
        date_day,
        cast(extract(isodow from date_day) as integer) as weekday
    from days

)

select
    date_day,
    cast(extract(year from date_day) as integer) as year,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(extract(month from date_day) as integer) as month,
    cast(extract(isoyear from date_day) as integer) as iso_year,
    cast(extract(week from date_day) as integer) as iso_week,
    cast(date_trunc('week', date_day) as date) as week_start,
    weekday,
    case weekday
        when 1 then 'Monday'
        when 2 then 'Tuesday'
        when 3 then 'Wednesday'
        when 4 then 'Thursday'
        when 5 then 'Friday'
        when 6 then 'Saturday'
        else 'Sunday'
    end as weekday_name,
    weekday >= 6 as is_weekend
from numbered
