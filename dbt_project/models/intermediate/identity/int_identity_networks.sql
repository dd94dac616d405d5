-- One row per identity and network in which it was seen on several days. Shared nodes are left out.
{{ config(materialized='table') }}

select
    identities.identity_id,
    node_days.subnet_hash,
    count(distinct node_days.session_date) as days_there
from {{ ref('int_identity_node_days') }} as node_days
inner join {{ ref('int_identities_now') }} as identities
    on node_days.node_key = identities.node_key
where node_days.subnet_hash is not null and not identities.is_shared
group by identities.identity_id, node_days.subnet_hash
having count(distinct node_days.session_date) >= {{ rule('household_min_days') }}
union all
{{ settled_and_untouched('networks') }}
