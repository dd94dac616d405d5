-- Of every day and site: conversions in sessions of robots. They are in no mart of conversions, only in the rows of
-- `site_daily` with is_bot. Gives the days and sites that have some: a shop's own system may call itself a robot.
{{ config(severity='warn') }}

select
    session_date,
    site_id,
    cast(sum(conversions) as bigint) as conversions,
    min(session_id) as one_session
from {{ ref('sessions') }}
where {{ in_built_days('sessions', 'session_date') }} and is_bot
group by session_date, site_id
having sum(conversions) > 0
