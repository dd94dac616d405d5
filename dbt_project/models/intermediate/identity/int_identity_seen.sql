-- One row per built day and node seen on that day; on Sundays, on which weeks are counted, node seen in the week that
-- ends with the day.
{{ config(materialized='table') }}

select distinct
    asked.as_of_date,
    nodes.node_number
from {{ ref('int_as_of_days') }} as asked
inner join {{ ref('identity_nodes') }} as identity_nodes
    on
        asked.as_of_date >= identity_nodes.session_date
        and asked.as_of_date - case when dayofweek(asked.as_of_date) = 0 then 7 else 1 end < identity_nodes.session_date
inner join {{ ref('int_identity_nodes') }} as nodes
    on identity_nodes.node_key = nodes.node_key
