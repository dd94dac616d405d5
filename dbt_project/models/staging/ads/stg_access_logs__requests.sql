-- One row per request of the window. Rows without a request id are never merged: each is a request.
select requests.*
from {{ source('raw', 'access_logs') }} as requests
where not exists (
    select 1
    from {{ ref('stg_access_logs__duplicates') }} as duplicates
    where
        requests.event_date = duplicates.event_date
        and requests.source_date = duplicates.source_date
        and requests.source_object = duplicates.source_object
        and requests.source_line = duplicates.source_line
)
