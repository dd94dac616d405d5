-- One row per published session of the days before the built days, as far back as `visitor_history_days`. It reads the
-- files of `sessions`, because the model `sessions` is made from this one.
select
    site_id,
    visitor_key,
    session_date,
    session_start
from {{ published_rows('sessions', days_before=rule('visitor_history_days')) }}
