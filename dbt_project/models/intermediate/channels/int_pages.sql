-- One row per distinct path of the events, with the category of its page. Events without a path have no page.
-- depends_on: {{ ref('page_categories') }}

with paths as (

    select distinct
        path,
        lower(path) as lower_path
    from {{ ref('stg_events') }}
    where path is not null

)

select
    path,
    {{ first_rule('page_categories', 'category', {'path_regex': 'lower_path'}, otherwise='other') }} as page_category
from paths
