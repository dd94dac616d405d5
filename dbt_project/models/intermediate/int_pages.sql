-- One row per path, with the category of its page.
select distinct
    path,
    split_part(path, '/', 2) as page_category
from {{ ref('stg_events') }}
where path is not null
