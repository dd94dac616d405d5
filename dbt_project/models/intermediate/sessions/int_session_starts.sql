-- One row per session of the days to be built: its first event, and the id that it gives to the session. An owner's
-- number and a place tell sessions apart only within a run; the id of an event does so for good.
select
    owner_number,
    session_place,
    site_id,
    visitor_key,
    session_date,
    session_start,
    event_id as first_event_id,
    md5(coalesce(site_id, '') || '|' || visitor_key || '|' || event_id) as session_id
from {{ ref('int_session_events') }}
where place = session_place
