with named as (

    select
        'fact_sessions' as fact,
        campaign_key,
        publication_code
    from {{ ref('fact_sessions') }}
    where {{ in_built_days('fact_sessions', 'session_date') }}
    union
    select
        'touchpoints' as fact,
        {{ campaign_key('touchpoints') }} as campaign_key,
        touchpoints.publication_code
    from {{ ref('touchpoints') }} as touchpoints
    where {{ in_built_days('touchpoints', 'touchpoints.touch_date') }}
    union
    select
        'attribution' as fact,
        {{ campaign_key('attribution') }} as campaign_key,
        attribution.publication_code
    from {{ ref('attribution') }} as attribution
    where {{ in_built_days('attribution', 'attribution.session_date') }} and attribution.touch_id is not null
    union
    select
        'campaign_performance' as fact,
        campaign_key,
        publication_code
    from {{ ref('campaign_performance') }}
    where {{ in_built_days('campaign_performance', 'report_date') }}

)

select named.*
from named
left join {{ ref('dim_publications') }} as dim_publications
    on named.publication_code = dim_publications.publication_code
left join {{ ref('dim_campaigns') }} as dim_campaigns
    on named.campaign_key = dim_campaigns.campaign_key
where
    dim_campaigns.campaign_key is null
    or (named.publication_code is not null and dim_publications.publication_code is null)
