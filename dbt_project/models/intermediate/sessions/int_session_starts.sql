-- One row per session of the built days: its first event, and the session id made from that event. An owner's number
-- and a place identify a session only within a run; the id of an event does so in all runs.
select
    owner_number,
    session_place,
    site_id,
    visitor_key,
    session_date,
    session_start,
    event_id as first_event_id,
    md5(coalesce(site_id, '') || '|' || event_visitor_key || '|' || event_id) as session_id
from {{ ref('int_session_events') }}
where place = session_place
