-- One row per combination of ids seen together on a built day, at a site, from a network: a handful for each session,
-- whatever its number of events. An id stands here as its node's key, in a column named for its type.
{{ config(materialized='table') }}

with events as (

    select
        session_date,
        site_id,
        tenant_id,
        subnet_hash,
        'visitor:' || visitor_id as visitor_id,
        'user:' || user_id as user_id,
        'device:' || device_id as device_id,
        'advertising:' || advertising_id as advertising_id,
        'cookie:' || cookie_id as cookie_id,
        'fingerprint:' || device_fingerprint || '@' || subnet_hash as fingerprint,
        person_key,
        person_key = coalesce('user:' || user_id, '') or person_key = visitor_key as names_person,
        opted_out,
        event_ts,
        event_id,
        session_id
    from {{ ref('fact_events') }}
    where {{ in_built_days('fact_events', 'session_date') }} and person_key is not null

),

-- A user is known only from the login on: a session is counted in the row that first names its person.
first_named as (

    select
        session_id,
        min_by(event_id, (event_ts, event_id)) as event_id
    from events
    where names_person
    group by session_id

)

select
    events.session_date,
    events.site_id,
    events.subnet_hash,
    events.visitor_id,
    events.user_id,
    events.device_id,
    events.advertising_id,
    events.cookie_id,
    events.fingerprint,
    events.person_key,
    events.opted_out,
    {{ one_tenant("events.tenant_id") }} as tenant_id,
    min(events.event_ts) as first_seen,
    max(events.event_ts) as last_seen,
    min_by(events.event_id, (events.event_ts, events.event_id)) as first_event_id,
    count(*) as events,
    count(first_named.session_id) as sessions
from events
left join first_named
    on events.session_id = first_named.session_id and events.event_id = first_named.event_id
group by
    events.session_date, events.site_id, events.subnet_hash, events.visitor_id, events.user_id, events.device_id,
    events.advertising_id, events.cookie_id, events.fingerprint, events.person_key, events.opted_out
