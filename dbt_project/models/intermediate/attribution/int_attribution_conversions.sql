-- One row per conversion or refund of the built days, with its identity as known at the day's end. A path holds the
-- touches that may lead to the conversions of one person on one site on that day.
with conversions as (

    select
        fact_conversions.*,
        as_of.identity_id,
        coalesce(not identities.is_new, false) as is_returning,
        {{ path_node('fact_conversions.person_key', 'fact_conversions.session_id') }} as node_key,
        {% if rule('attribution_across_sites') %}''{% else %}coalesce(fact_conversions.site_id, ''){% endif %}
            as path_site
    from {{ ref('fact_conversions') }} as fact_conversions
    left join {{ ref('int_identities_as_of') }} as as_of
        on fact_conversions.session_date = as_of.as_of_date and fact_conversions.person_key = as_of.node_key
    left join {{ ref('identities') }} as identities
        on as_of.as_of_date = identities.report_date and as_of.identity_id = identities.identity_id
    where
        {{ in_built_days('attribution_shares', 'fact_conversions.session_date') }}
        and fact_conversions.status <> 'copy'

)

select
    *,
    coalesce(identity_id, node_key) as owner_key,
    row_number() over (order by session_date, conversion_id) as conversion_number,
    dense_rank() over (order by session_date, coalesce(identity_id, node_key), path_site) as path_number
from conversions
