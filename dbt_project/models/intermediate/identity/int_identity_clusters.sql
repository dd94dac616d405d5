-- One row per cluster of the summary (planning/settled.py) that has to do with the days after it: a node of it was seen
-- since, or it is a shared node next to one that was. The others are as they were.
{{ config(materialized='table') }}

with touched as (

    select distinct clusters.cluster
    from {{ settled_rows('clusters') }} as clusters
    where
        clusters.is_active
        or clusters.node_number in (
            select {{ md5_small_number('node_key') }}
            from {{ ref('identity_nodes') }}
        )

)

select cluster
from touched
union distinct
select edge_days.shared_cluster
from {{ settled_rows('edge_days') }} as edge_days
inner join touched
    on edge_days.cluster = touched.cluster
where edge_days.shared_cluster is not null
