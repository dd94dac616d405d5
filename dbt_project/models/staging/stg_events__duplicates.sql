-- One row per raw row that repeats an event already there: the same site and event id, sent or delivered again. The
-- first by time, source date, object, line and place in its batch is the event; these are the others.
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
        row_number() over (
            partition by events.site_id, events.event_id
            order by
                events.event_ts, events.source_date, events.source_object, events.source_line,
                coalesce(events.batch_index, -1)
        ) as occurrence
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
where occurrence > 1
