-- One row per report date (UTC), funnel, site and step: how many of those who entered the funnel on that day reached
-- the step, and when. Sites on which nobody entered it have no row.
{{ config(
    partition_by='report_date',
    sort_by=['funnel', 'site_id', 'step_number'],
    restates={'before': 2, 'before_too': 'funnel_max_days', 'after': 30}
) }}

with counted as (

    select
        report_date,
        funnel,
        site_id,
        step,
        {{ one_tenant("tenant_id") }} as tenant_id,
        count(*) as reached,
        -- A mean of exact numbers is the same in any order of rows.
        round(cast(sum(cast(seconds as decimal(18, 6))) as double) / count(*), 3) as average_seconds,
        round(median(seconds), 6) as median_seconds
    from {{ ref('int_funnel_walks') }}
    group by report_date, funnel, site_id, step

),

measured as (

    select
        entered.report_date,
        entered.funnel,
        entered.site_id,
        entered.tenant_id,
        steps.step as step_number,
        steps.step_name,
        entered.reached as entered,
        coalesce(counted.reached, 0) as reached,
        counted.average_seconds,
        counted.median_seconds
    from counted as entered
    inner join {{ ref('funnel_steps') }} as steps
        on entered.funnel = steps.funnel
    left join counted
        on
            entered.report_date = counted.report_date
            and entered.funnel = counted.funnel
            and entered.site_id is not distinct from counted.site_id
            and steps.step = counted.step
    where entered.step = 1

),

with_previous as (

    select
        *,
        lag(reached, 1, entered) over (partition by report_date, funnel, site_id order by step_number) as reached_before
    from measured

)

select
    report_date,
    funnel,
    site_id,
    tenant_id,
    step_number,
    step_name,
    entered,
    reached,
    {{ percentage('reached', 'entered') }} as conversion_rate,
    {{ percentage('reached', 'reached_before') }} as step_rate,
    average_seconds,
    median_seconds
from with_previous
