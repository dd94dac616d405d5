-- One row per day to be built, event and step of a funnel that the event can be, with whose it is by what was known at
-- that day's end. A first step belongs to the day of its session; a later step can lie in any day that a funnel which
-- is entered on that day may reach.
-- depends_on: {{ ref('funnel_steps') }}
{%- set days_after = (var('funnel_max_days') | int) + 1 %}

-- A session goes on into the day after its own: the entry may happen then, and another session that is still going on
-- may have begun the day before.
with step_events as (

    select
        session_date,
        site_id,
        person_key,
        event_ts,
        event_id,
        event_type,
        lower(path) as lower_path
    from {{ ref('fact_events') }}
    where
        {{ in_built_days('funnels', 'session_date', before=1, after=days_after) }}
        and person_key is not null
        and {{ is_funnel_step('event_type', 'lower(path)') }}

),

by_step as (

    {{ funnel_steps_of('step_events', 'event_type', 'lower_path') }}

)

select
    as_of.as_of_date as report_date,
    by_step.funnel,
    by_step.site_id,
    as_of.identity_id,
    by_step.step,
    by_step.event_ts,
    by_step.event_id
from by_step
inner join {{ ref('int_identities_as_of') }} as as_of
    on
        by_step.person_key = as_of.node_key
        and by_step.session_date >= as_of.as_of_date - 1
        and by_step.session_date <= as_of.as_of_date + {{ days_after }}
where
    {{ in_built_days('funnels', 'as_of.as_of_date') }}
    and (by_step.step > 1 or by_step.session_date = as_of.as_of_date)
