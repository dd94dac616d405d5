-- One row per day, node (an id that a person was known by), site and network: when and how often it was seen.
{{ config(
    partition_by='session_date',
    sort_by=['node_key', 'site_id', 'subnet_hash'],
    neighbour_days='unsettled',
    restates={'before': 1, 'after': 2}
) }}
{%- set types = ('visitor_id', 'user_id', 'device_id', 'advertising_id', 'cookie_id', 'fingerprint') %}

with nodes as (
    {%- for type in types %}

        select
            session_date,
            '{{ type }}' as node_type,
            {{ type }} as node_key,
            site_id,
            tenant_id,
            subnet_hash,
            first_seen,
            last_seen,
            events,
            case when person_key = {{ type }} then sessions else 0 end as sessions
        from {{ ref('int_identity_sightings') }}
        where {{ type }} is not null and {{ in_built_days('identity_nodes', 'session_date') }}
        {%- if not loop.last %}
            union all
        {%- endif %}
    {%- endfor %}

)

select
    session_date,
    node_key,
    min(node_type) as node_type,
    site_id,
    {{ one_tenant("tenant_id") }} as tenant_id,
    subnet_hash,
    min(first_seen) as first_seen,
    max(last_seen) as last_seen,
    cast(sum(events) as bigint) as events,
    cast(sum(sessions) as bigint) as sessions
from nodes
group by session_date, node_key, site_id, subnet_hash
