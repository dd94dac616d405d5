-- One row per combination of ids that was seen together on a day to be built, at a site, from a network: a handful for
-- each session, however many events it has.
{{ config(materialized='table') }}

select
    session_date,
    site_id,
    subnet_hash,
    visitor_id,
    user_id,
    device_id,
    advertising_id,
    cookie_id,
    device_fingerprint,
    person_key,
    opted_out,
    min(event_ts) as first_seen,
    max(event_ts) as last_seen,
    min_by(event_id, (event_ts, event_id)) as first_event_id,
    count(*) as events,
    count(case when is_session_start then 1 end) as sessions
from {{ ref('fact_events') }}
where {{ in_built_days('fact_events', 'session_date') }} and person_key is not null
group by
    session_date, site_id, subnet_hash, visitor_id, user_id, device_id, advertising_id, cookie_id,
    device_fingerprint, person_key, opted_out
