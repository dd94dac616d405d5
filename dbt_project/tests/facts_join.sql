{{ config(severity='warn') }}

with people as (

    select
        'fact_sessions' as fact,
        person_key
    from {{ ref('fact_sessions') }}
    where {{ in_built_days('fact_sessions', 'session_date') }}
    union
    select
        'fact_conversions' as fact,
        person_key
    from {{ ref('fact_conversions') }}
    where {{ in_built_days('fact_conversions', 'session_date') }}

),

visits as (

    select
        'fact_events' as fact,
        session_id
    from {{ ref('fact_events') }}
    where
        {{ in_built_days('fact_events', 'session_date') }}
        and {{ in_built_days('fact_sessions', 'session_date') }}
    union
    select
        'fact_conversions' as fact,
        session_id
    from {{ ref('fact_conversions') }}
    where
        {{ in_built_days('fact_conversions', 'session_date') }}
        and {{ in_built_days('fact_sessions', 'session_date') }}

)

select
    people.fact,
    people.person_key as missing
from people
left join {{ ref('identity_map') }} as identity_map
    on people.person_key = identity_map.node_key
where people.person_key is not null and identity_map.node_key is null
union all
select
    visits.fact,
    visits.session_id as missing
from visits
left join {{ ref('fact_sessions') }} as fact_sessions
    on visits.session_id = fact_sessions.session_id
where fact_sessions.session_id is null
