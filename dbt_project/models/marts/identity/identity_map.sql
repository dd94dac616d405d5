-- One row per node: its identity by everything known now. The whole history, one file.
{{ config(sort_by=['node_key']) }}

select
    node_key,
    node_type,
    identity_id,
    confidence,
    is_shared,
    first_seen,
    last_seen,
    events,
    sessions
from {{ ref('int_identities_now') }}
union all
{{ settled_and_untouched('identity_map') }}
