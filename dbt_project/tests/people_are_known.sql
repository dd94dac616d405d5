select distinct
    'fact_events' as missing_from,
    fact_events.person_key as missing
from {{ ref('fact_events') }} as fact_events
left join {{ ref('identity_map') }} as identity_map
    on fact_events.person_key = identity_map.node_key
where
    {{ in_built_days('fact_events', 'fact_events.session_date') }}
    and fact_events.person_key is not null
    and identity_map.node_key is null
union all
select distinct
    'identity_map' as missing_from,
    identity_map.identity_id as missing
from {{ ref('identity_map') }} as identity_map
left join {{ ref('dim_users') }} as dim_users
    on identity_map.identity_id = dim_users.identity_id
where dim_users.identity_id is null
