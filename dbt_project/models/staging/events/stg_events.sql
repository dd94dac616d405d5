-- One row per event. Rows with the same site and event id, on one day or on two consecutive days, are one event.
select
    events.*,
    -- The prefix keeps a device from being taken for a visitor of the same name.
    coalesce(
        'visitor:' || events.visitor_id,
        case
            when not {{ is_sent_by_server('events') }}
                then 'fingerprint:' || events.device_fingerprint || '@' || events.subnet_hash
        end,
        'device:' || events.device_id,
        'cookie:' || events.cookie_id,
        'advertising:' || events.advertising_id,
        'user:' || events.user_id,
        'event:' || events.event_id
    ) as visitor_key
from {{ source('raw', 'events') }} as events
-- A join, because engines evaluate `not exists` over so many columns at several times its cost.
left join {{ ref('stg_events__duplicates') }} as duplicates
    on
        events.event_date = duplicates.event_date
        and events.source_date = duplicates.source_date
        and events.source_object = duplicates.source_object
        and events.source_line = duplicates.source_line
        and coalesce(events.batch_index, -1) = coalesce(duplicates.batch_index, -1)
where duplicates.source_line is null
