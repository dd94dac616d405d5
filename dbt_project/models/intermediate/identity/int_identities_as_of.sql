-- One row per built day and node of an identity seen on that day: the identity as known at the day's end, so that a
-- day's numbers depend on no later day; or as known now, if `identity_known_at` is `run`.
{{ config(materialized='table') }}

with graph as (
    {%- if rule('identity_known_at') == 'run' %}

        select distinct
            seen.as_of_date,
            members.node_number,
            members.root_number,
            members.confidence
        from {{ ref('int_identity_seen') }} as seen
        inner join {{ ref('int_identity_graph') }} as seen_graph
            on seen.node_number = seen_graph.node_number
        inner join {{ ref('int_identity_graph') }} as members
            on seen_graph.root_number = members.root_number
    {%- else %}

        select *
        from {{ ref('int_identity_graph_as_of') }}
    {%- endif %}

)

select
    graph.as_of_date,
    nodes.node_key,
    nodes.node_type,
    {{ identity_id('roots.node_key') }} as identity_id,
    graph.confidence,
    roots.first_seen,
    -- The first day over all nodes, because a node first seen after midnight may belong to a session of the day before.
    min(nodes.first_date) over (partition by graph.as_of_date, graph.root_number) as first_date
from graph
inner join {{ ref('int_identity_nodes') }} as nodes
    on graph.node_number = nodes.node_number
inner join {{ ref('int_identity_nodes') }} as roots
    on graph.root_number = roots.node_number
