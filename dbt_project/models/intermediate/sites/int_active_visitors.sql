-- One row per day (UTC), site and is_bot with sessions: distinct visitors of that day, of the 7 and of the 30 days that
-- end with it.
with visitor_days as (

    select distinct
        session_date,
        site_id,
        is_bot,
        visitor_key
    from {{ ref('sessions') }}

),

with_next as (

    select
        *,
        lead(session_date) over (partition by site_id, is_bot, visitor_key order by session_date) as next_date
    from visitor_days

),

-- A visitor counts from each day with a session until the span has passed or their next such day begins. So nobody
-- counts twice, and a month needs one row for each day of a visitor.
changes as (

    select
        session_date as change_date,
        site_id,
        is_bot,
        1 as of_day,
        1 as of_week,
        1 as of_month
    from with_next
    union all
    select
        session_date + 1 as change_date,
        site_id,
        is_bot,
        -1 as of_day,
        0 as of_week,
        0 as of_month
    from with_next
    union all
    select
        least(session_date + 7, coalesce(next_date, session_date + 7)) as change_date,
        site_id,
        is_bot,
        0 as of_day,
        -1 as of_week,
        0 as of_month
    from with_next
    union all
    select
        least(session_date + 30, coalesce(next_date, session_date + 30)) as change_date,
        site_id,
        is_bot,
        0 as of_day,
        0 as of_week,
        -1 as of_month
    from with_next

),

by_day as (

    select
        change_date,
        site_id,
        is_bot,
        sum(of_day) as of_day,
        sum(of_week) as of_week,
        sum(of_month) as of_month
    from changes
    group by change_date, site_id, is_bot

),

so_far as (

    select
        change_date as report_date,
        site_id,
        is_bot,
        cast(sum(of_day) over days_so_far as bigint) as dau,
        cast(sum(of_week) over days_so_far as bigint) as wau,
        cast(sum(of_month) over days_so_far as bigint) as mau
    from by_day
    window
        days_so_far as (
            partition by site_id, is_bot
            order by change_date rows between unbounded preceding and current row
        )

)

select
    report_date,
    site_id,
    is_bot,
    dau,
    wau,
    mau
from so_far
where dau > 0
