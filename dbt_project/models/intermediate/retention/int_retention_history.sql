-- One row per published cohort of the days before the built days: its size on its own day, or in its own week. It reads
-- the files of `retention`, because the model `retention` is made from this one.
{%- set days_before = [rule('retention_days') | int, 7 * (rule('retention_weeks') | int)] | max %}
select
    period,
    cohort_kind,
    cohort_date,
    cohort_size
from {{ published_rows('retention', days_before=days_before) }}
where period_number = 0
