-- One row per combination of ids that was seen together on a day to be built, at a site, from a network: a handful for
-- each session, however many events it has. An id stands here as its node's key, in a column named for its type.
{{ config(materialized='table') }}

with events as (

    select
        session_date,
        site_id,
        subnet_hash,
        'visitor:' || visitor_id as visitor_id,
        'user:' || user_id as user_id,
        'device:' || device_id as device_id,
        'advertising:' || advertising_id as advertising_id,
        'cookie:' || cookie_id as cookie_id,
        'fingerprint:' || device_fingerprint || '@' || subnet_hash as fingerprint,
        person_key,
        opted_out,
        event_ts,
        event_id,
        is_session_start
    from {{ ref('fact_events') }}
    where {{ in_built_days('fact_events', 'session_date') }} and person_key is not null

)

select
    session_date,
    site_id,
    subnet_hash,
    visitor_id,
    user_id,
    device_id,
    advertising_id,
    cookie_id,
    fingerprint,
    person_key,
    opted_out,
    min(event_ts) as first_seen,
    max(event_ts) as last_seen,
    min_by(event_id, (event_ts, event_id)) as first_event_id,
    count(*) as events,
    count(case when is_session_start then 1 end) as sessions
from events
group by
    session_date, site_id, subnet_hash, visitor_id, user_id, device_id, advertising_id, cookie_id, fingerprint,
    person_key, opted_out
