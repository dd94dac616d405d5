-- One row per raw row that repeats an event already there: the same site and event id, sent or delivered again. The
-- first by time, source date, object, line and place in its batch is the event; these are the others. A copy is known
-- by the one before it, on the same day or the day before, so that a day has the same events alone and within a range.
{{ config(materialized='table') }}

-- Few ids are repeated: finding them first ranks thousands of rows, not millions.
with repeated_ids as (

    select
        site_id,
        event_id
    from {{ source('raw', 'events') }}
    group by site_id, event_id
    having count(*) > 1

),

ranked as (

    select
        events.event_date,
        events.source_date,
        events.source_object,
        events.source_line,
        events.batch_index,
        events.site_id,
        events.event_id,
        lag(events.event_date) over (
            partition by events.site_id, events.event_id
            order by
                events.event_ts, events.source_date, events.source_object, events.source_line,
                coalesce(events.batch_index, -1)
        ) as previous_date
    from {{ source('raw', 'events') }} as events
    inner join repeated_ids
        on
            events.site_id = repeated_ids.site_id
            and events.event_id = repeated_ids.event_id

)

select
    event_date,
    source_date,
    source_object,
    source_line,
    batch_index,
    site_id,
    event_id
from ranked
where event_date <= previous_date + 1
