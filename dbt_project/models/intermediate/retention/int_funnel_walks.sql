-- One row per report date, funnel, site, identity and step that it reached, at most once a day: from the first event
-- that is step 1 on, each step is the next event that can be it, in time.
{%- set last_step = ([1] + (funnel_rules() | map(attribute='step') | map('int') | list)) | max %}

-- Taking the first event that can be a step is right: it leaves all later ones for the steps after it, so who gets
-- further by any other choice gets as far by this one. Nothing is tried twice, however many events somebody has.
with entries as (

    select
        events.report_date,
        events.funnel,
        events.site_id,
        events.identity_id,
        {{ one_tenant("events.tenant_id") }} as tenant_id,
        min(steps.within_seconds) as within_seconds,
        min(events.event_ts) as entered_at,
        min_by(events.event_id, (events.event_ts, events.event_id)) as event_id,
        row_number() over (
            order by events.report_date, events.funnel, events.site_id, events.identity_id
        ) as entry_number
    from {{ ref('int_funnel_events') }} as events
    inner join {{ ref('funnel_steps') }} as steps
        on events.funnel = steps.funnel and events.step = steps.step
    where events.step = 1
    group by events.report_date, events.funnel, events.site_id, events.identity_id

),

-- Places follow time and id. An event that can be several steps has one place, and so is only one of them.
candidates as (

    select
        entries.entry_number,
        events.step,
        events.event_ts,
        dense_rank() over (partition by entries.entry_number order by events.event_ts, events.event_id) as place
    from {{ ref('int_funnel_events') }} as events
    inner join entries
        on
            events.report_date = entries.report_date
            and events.funnel = entries.funnel
            and events.site_id is not distinct from entries.site_id
            and events.identity_id = entries.identity_id
    where
        events.step > 1
        and (
            events.event_ts > entries.entered_at
            or (events.event_ts = entries.entered_at and events.event_id > entries.event_id)
        )
        and {{ seconds_between('entries.entered_at', 'events.event_ts') }} <= entries.within_seconds

),

step_1 as (

    select
        entry_number,
        cast(0 as bigint) as place,
        entered_at as reached_at
    from entries

),
{%- for step in range(2, last_step + 1) %}

    step_{{ step }} as (

        select
            candidates.entry_number,
            min(candidates.place) as place,
            min(candidates.event_ts) as reached_at
        from candidates
        inner join step_{{ step - 1 }} as previous
            on candidates.entry_number = previous.entry_number and candidates.place > previous.place
        where candidates.step = {{ step }}
        group by candidates.entry_number

    ),
{%- endfor %}

reached as (
    {%- for step in range(1, last_step + 1) %}

        select
            entry_number,
            {{ step }} as step,
            reached_at
        from step_{{ step }}
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}

)

select
    entries.report_date,
    entries.funnel,
    entries.site_id,
    entries.tenant_id,
    entries.identity_id,
    cast(reached.step as bigint) as step,
    {{ seconds_between('entries.entered_at', 'reached.reached_at') }} as seconds
from reached
inner join entries
    on reached.entry_number = entries.entry_number
