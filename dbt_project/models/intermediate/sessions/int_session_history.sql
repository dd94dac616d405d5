-- One row per published session of the days before those to be built, as far back as visitors are remembered.
-- It reads the files of `sessions` and not the model, which is made from it.
select
    site_id,
    visitor_key,
    session_date,
    session_start
from {{ published_rows('sessions', days_before=var('visitor_history_days')) }}
