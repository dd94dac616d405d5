-- One row per identity that shares a network with a few others, each seen there on several days: a label for people who
-- live or work together, which never joins their identities.
{{ config(materialized='table') }}

with shared as (

    select subnet_hash
    from {{ ref('int_identity_networks') }}
    group by subnet_hash
    having count(*) between 2 and {{ rule('household_max_identities') }}

),

-- An identity seen in several such networks belongs to the one in which it was seen on most days.
ranked as (

    select
        networks.identity_id,
        networks.subnet_hash,
        row_number() over (
            partition by networks.identity_id order by networks.days_there desc, networks.subnet_hash asc
        ) as place
    from {{ ref('int_identity_networks') }} as networks
    inner join shared
        on networks.subnet_hash = shared.subnet_hash

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
