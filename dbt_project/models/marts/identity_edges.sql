-- One row per day and pair of nodes that one event carried together: the first such event of the day.
{{ config(
    partition_by='session_date',
    sort_by=['node_a', 'node_b'],
    neighbour_days='all',
    restates={'before': 1, 'after': 2}
) }}

-- Whoever has opted out is not followed from one id to another.
with sightings as (

    select *
    from {{ ref('int_identity_sightings') }}
    where not opted_out

),

pairs as (
{%- for pair in identity_edge_types() %}
    {%- set first, second = identity_node_types()[pair[0]], identity_node_types()[pair[1]] %}

    select
        session_date,
        least({{ first }}, {{ second }}) as node_a,
        greatest({{ first }}, {{ second }}) as node_b,
        site_id,
        first_seen,
        first_event_id,
        events
    from sightings
    where {{ first }} is not null and {{ second }} is not null
    {{- '\n    union all' if not loop.last }}
{%- endfor %}

)

select
    session_date,
    node_a,
    node_b,
    min(first_seen) as first_seen,
    min_by(first_event_id, (first_seen, first_event_id)) as first_event_id,
    min_by(site_id, (first_seen, first_event_id)) as site_id,
    cast(sum(events) as bigint) as events
from pairs
group by session_date, node_a, node_b
