select
    retained.report_date,
    retained.period,
    retained.cohort_kind,
    retained.cohort_date,
    retained.period_number,
    retained.cohort_size,
    retained.retained
from {{ ref('retention') }} as retained
left join {{ ref('retention') }} as everybody
    on
        retained.report_date = everybody.report_date
        and retained.period = everybody.period
        and retained.cohort_date = everybody.cohort_date
        and everybody.cohort_kind = 'recurring'
where
    {{ in_built_days('retention', 'retained.report_date') }}
    and (
        retained.retained < 0
        or retained.retained > retained.cohort_size
        or (retained.period_number = 0 and retained.retained <> retained.cohort_size)
        or retained.period_number < 0
        or everybody.cohort_size is null
        or retained.cohort_size > everybody.cohort_size
    )
