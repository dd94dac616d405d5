-- One row per identity that shares a network with a few others, each seen there on several days: a label for people who
-- live or work together, which never joins their identities.
{{ config(materialized='table') }}

with days as (

    select
        identity_map.identity_id,
        identity_nodes.subnet_hash,
        count(distinct identity_nodes.session_date) as days_there
    from {{ ref('identity_nodes') }} as identity_nodes
    inner join {{ ref('identity_map') }} as identity_map
        on identity_nodes.node_key = identity_map.node_key
    where identity_nodes.subnet_hash is not null and not identity_map.is_shared
    group by identity_map.identity_id, identity_nodes.subnet_hash
    having count(distinct identity_nodes.session_date) >= {{ rule('household_min_days') }}

),

shared as (

    select subnet_hash
    from days
    group by subnet_hash
    having count(*) between 2 and {{ rule('household_max_identities') }}

),

-- An identity seen in several such networks belongs to the one in which it was seen on most days.
ranked as (

    select
        days.identity_id,
        days.subnet_hash,
        row_number() over (partition by days.identity_id order by days.days_there desc, days.subnet_hash asc) as place
    from days
    inner join shared
        on days.subnet_hash = shared.subnet_hash

),

-- The others of a network may belong to another one: an identity left alone is no household.
together as (

    select
        identity_id,
        subnet_hash,
        count(*) over (partition by subnet_hash) as members
    from ranked
    where place = 1

)

select
    identity_id,
    md5('household:' || subnet_hash) as household_id
from together
where members > 1
