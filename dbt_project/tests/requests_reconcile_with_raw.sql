with raw_rows as (

    select
        event_date,
        count(*) as all_rows
    from {{ source('raw', 'access_logs') }}
    group by event_date

),

requests as (

    select
        event_date,
        count(*) as all_rows,
        count(request_id) - count(distinct request_id) as repeated
    from {{ ref('stg_access_logs__requests') }}
    group by event_date

),

kept_ids as (

    select distinct
        requests.event_date,
        requests.request_id
    from {{ ref('stg_access_logs__requests') }} as requests
    inner join {{ ref('stg_access_logs__duplicates') }} as duplicates
        on
            requests.event_date = duplicates.event_date
            and requests.request_id = duplicates.request_id

),

duplicates as (

    select
        duplicates.event_date,
        count(*) as all_rows,
        count(*) - count(kept_ids.request_id) as without_request
    from {{ ref('stg_access_logs__duplicates') }} as duplicates
    left join kept_ids
        on
            duplicates.event_date = kept_ids.event_date
            and duplicates.request_id = kept_ids.request_id
    group by duplicates.event_date

)

select
    coalesce(raw_rows.event_date, requests.event_date) as event_date,
    raw_rows.all_rows as raw_rows,
    requests.all_rows as requests,
    requests.repeated,
    duplicates.all_rows as duplicates,
    duplicates.without_request
from raw_rows
full outer join requests
    on raw_rows.event_date = requests.event_date
left join duplicates
    on raw_rows.event_date = duplicates.event_date
where
    raw_rows.all_rows is distinct from requests.all_rows + coalesce(duplicates.all_rows, 0)
    or requests.repeated <> 0
    or duplicates.without_request <> 0
