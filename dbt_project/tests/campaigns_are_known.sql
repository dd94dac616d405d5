-- Campaigns are told apart by their parts first: hundreds of thousands of touches name a few thousand.
with campaigns as (

    select distinct
        'touchpoints' as fact,
        {{ campaign_parts() }}
    from {{ ref('touchpoints') }}
    where {{ in_built_days('touchpoints', 'touch_date') }}
    union all
    select distinct
        'attribution' as fact,
        {{ campaign_parts() }}
    from {{ ref('attribution') }}
    where {{ in_built_days('attribution', 'session_date') }} and touch_id is not null

),

named as (

    select
        'fact_sessions' as fact,
        campaign_key,
        publication_code
    from {{ ref('fact_sessions') }}
    where {{ in_built_days('fact_sessions', 'session_date') }}
    union
    select
        fact,
        {{ campaign_key('campaigns') }} as campaign_key,
        publication_code
    from campaigns
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
