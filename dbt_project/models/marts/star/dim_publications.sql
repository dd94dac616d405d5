-- One row per publication code: those of publications.csv, and those that links use and it does not know,
-- under their code. The whole history, one file.
{{ config(sort_by=['publication_code']) }}

with seen as (

    select
        publication_code,
        min(report_date) as first_date,
        max(report_date) as last_date
    from {{ ref('campaign_days') }}
    where publication_code is not null
    group by publication_code

)

select
    coalesce(publications.publication_code, seen.publication_code) as publication_code,
    publications.publication_id,
    coalesce(publications.publication_name, publications.publication_code, seen.publication_code) as publication_name,
    publications.publication_code is not null as is_mapped,
    seen.first_date,
    seen.last_date
from {{ ref('publications') }} as publications
full outer join seen
    on publications.publication_code = seen.publication_code
