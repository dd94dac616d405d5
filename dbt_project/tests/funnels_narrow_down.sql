with funnels as (

    select
        *,
        lag(reached) over (partition by report_date, funnel, site_id order by step_number) as reached_before,
        count(*) over (partition by report_date, funnel, site_id) as steps
    from {{ ref('funnels') }}
    where {{ in_built_days('funnels', 'report_date') }}

),

expected as (

    select
        funnel,
        count(*) as steps
    from {{ ref('funnel_steps') }}
    group by funnel

)

select funnels.*
from funnels
left join expected
    on funnels.funnel = expected.funnel
where
    funnels.steps is distinct from expected.steps
    or (funnels.step_number = 1 and funnels.reached <> funnels.entered)
    or (funnels.step_number > 1 and (funnels.reached_before is null or funnels.reached > funnels.reached_before))
    or (funnels.reached = 0) <> (funnels.median_seconds is null)
    or (funnels.step_number = 1 and funnels.median_seconds <> 0)
    or funnels.average_seconds < 0
