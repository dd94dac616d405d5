with given as (

    select
        report_date,
        funnel,
        count(distinct coalesce(site_id, '') || '|' || identity_id) as entered
    from {{ ref('int_funnel_events') }}
    where step = 1
    group by report_date, funnel

),

counted as (

    select
        report_date,
        funnel,
        sum(entered) as entered
    from {{ ref('funnels') }}
    where {{ in_built_days('funnels', 'report_date') }} and step_number = 1
    group by report_date, funnel

)

select
    coalesce(given.report_date, counted.report_date) as report_date,
    coalesce(given.funnel, counted.funnel) as funnel,
    given.entered as given_entered,
    counted.entered
from given
full outer join counted
    on given.report_date = counted.report_date and given.funnel = counted.funnel
where given.entered is distinct from counted.entered
