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
