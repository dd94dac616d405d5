-- One row per raw row that repeats a request already there: the same request id in another object, or delivered
-- again on another source date. The first by source date, object and line is the request; these are the others.
{{ config(materialized='table') }}

-- Few ids are repeated: finding them first ranks thousands of rows, not millions.
with repeated_ids as (

    select
        event_date,
        request_id
    from {{ source('raw', 'access_logs') }}
    where request_id is not null
    group by event_date, request_id
    having count(*) > 1

),

ranked as (

    select
        rows_of_request.event_date,
        rows_of_request.source_date,
        rows_of_request.source_object,
        rows_of_request.source_line,
        rows_of_request.request_id,
        row_number() over (
            partition by rows_of_request.event_date, rows_of_request.request_id
            order by rows_of_request.source_date, rows_of_request.source_object, rows_of_request.source_line
        ) as occurrence
    from {{ source('raw', 'access_logs') }} as rows_of_request
    inner join repeated_ids
        on
            rows_of_request.event_date = repeated_ids.event_date
            and rows_of_request.request_id = repeated_ids.request_id

)

select
    event_date,
    source_date,
    source_object,
    source_line,
    request_id
from ranked
where occurrence > 1
