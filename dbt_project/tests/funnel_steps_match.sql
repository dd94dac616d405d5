{{ config(severity='warn', meta={'names': 'step'}) }}

select steps.funnel || ' ' || steps.step || ' (' || steps.step_name || ')' as step
from {{ ref('funnel_steps') }} as steps
left join {{ ref('int_funnel_events') }} as events
    on steps.funnel = events.funnel and steps.step = events.step and {{ in_window('events.report_date') }}
where {{ is_own('funnel_steps') }} and events.step is null
group by steps.funnel, steps.step, steps.step_name
order by steps.funnel, steps.step
