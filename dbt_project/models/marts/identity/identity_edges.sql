-- One row per day and pair of nodes that one event carried together: the first such event of the day.
{{ config(
    partition_by='session_date',
    sort_by=['node_a', 'node_b'],
    neighbour_days='unsettled',
    restates={'before': 1, 'after': 2}
) }}
{%- set types = ('visitor_id', 'user_id', 'device_id', 'advertising_id', 'cookie_id', 'fingerprint') %}

-- Events of visitors who have opted out join no ids.
with sightings as (

    select *
    from {{ ref('int_identity_sightings') }}
    where not opted_out and {{ in_built_days('identity_edges', 'session_date') }}

),

pairs as (
    {%- for first in types %}
        {%- set is_last = loop.index == 5 %}
        {%- for second in types[loop.index:] %}

            select
                session_date,
                least({{ first }}, {{ second }}) as node_a,
                greatest({{ first }}, {{ second }}) as node_b,
                site_id,
                tenant_id,
                first_seen,
                first_event_id,
                events
            from sightings
            where {{ first }} is not null and {{ second }} is not null
            {%- if not is_last %}
                union all
            {%- endif %}
        {%- endfor %}
    {%- endfor %}

)

select
    session_date,
    node_a,
    node_b,
    min(first_seen) as first_seen,
    min_by(first_event_id, (first_seen, first_event_id)) as first_event_id,
    min_by(site_id, (first_seen, first_event_id)) as site_id,
    nullif(min_by(coalesce(tenant_id, ''), (first_seen, first_event_id)), '') as tenant_id,
    cast(sum(events) as bigint) as events
from pairs
group by session_date, node_a, node_b
