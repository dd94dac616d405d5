-- One row per built day, event and step of a funnel that the event can be, with the identity as known at that day's
-- end. A first step belongs to the day of its session; a later step can lie in any day that a funnel which is entered
-- on that day may reach.
-- depends_on: {{ ref('funnel_steps') }}
{%- set days_after = (rule('funnel_max_days') | int) + 1 %}
{%- set is_step = [] %}
{%- for rule in funnel_rules() %}
    {%- do is_step.append('(' ~ rule_holds(rule, {'event_type': 'event_type', 'path_regex': 'lower(path)'}) ~ ')') %}
{%- endfor %}

-- A session goes on into the day after its own: the entry may happen then, and another session that is still going on
-- may have begun the day before.
with step_events as (

    select
        session_date,
        site_id,
        tenant_id,
        person_key,
        visitor_key,
        event_ts,
        event_id,
        event_type,
        lower(path) as lower_path
    from {{ ref('fact_events') }}
    where
        {{ in_built_days('funnels', 'session_date', before=1, after=days_after) }}
        and person_key is not null
        and ({{ is_step | unique | join(' or ') or 'false' }})

),

by_step as (

    select
        *,
        cast(null as varchar) as funnel,
        cast(null as bigint) as step
    from step_events
    where false
    {%- for rule in funnel_rules() %}

        union all

        select
            *,
            {{ quoted_list([rule['funnel']]) }} as funnel,
            cast({{ rule['step'] }} as bigint) as step
        from step_events
        where {{ rule_holds(rule, {'event_type': 'event_type', 'path_regex': 'lower_path'}) }}
    {%- endfor %}

),

-- A user who first logs in on a later day, on the way to the checkout, is still known by the same browser.
asked as (

    select
        *,
        person_key as node_key,
        1 as choice
    from by_step

    union all

    select
        *,
        visitor_key as node_key,
        2 as choice
    from by_step
    where visitor_key <> person_key

),

known as (

    select
        as_of.as_of_date as report_date,
        asked.funnel,
        asked.site_id,
        asked.tenant_id,
        as_of.identity_id,
        asked.step,
        asked.event_ts,
        asked.event_id,
        row_number() over (
            partition by as_of.as_of_date, asked.funnel, asked.step, asked.site_id, asked.event_id, asked.session_date
            order by asked.choice
        ) as place
    from asked
    inner join {{ ref('int_identities_as_of') }} as as_of
        on
            asked.node_key = as_of.node_key
            and asked.session_date >= as_of.as_of_date - 1
            and asked.session_date <= as_of.as_of_date + {{ days_after }}
    where
        {{ in_built_days('funnels', 'as_of.as_of_date') }}
        and (asked.step > 1 or asked.session_date = as_of.as_of_date)

)

select
    report_date,
    funnel,
    site_id,
    tenant_id,
    identity_id,
    step,
    event_ts,
    event_id
from known
where place = 1
