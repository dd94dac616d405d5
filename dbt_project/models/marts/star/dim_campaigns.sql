-- One row per campaign: order, campaign, publication, creative and channel; null is a value of its own. All facts have
-- these five columns. Source and medium are not among them, because one campaign has visitors from several;
-- fact_sessions and touchpoints name them for each row. The whole history, one file.
{{ config(sort_by=['campaign_key']) }}

with campaigns as (

    select
        campaign_key,
        {{ campaign_parts() }},
        min(report_date) as first_date,
        max(report_date) as last_date,
        count(*) as active_days,
        cast(sum(sessions) as bigint) as sessions
    from {{ ref('campaign_days') }}
    group by campaign_key, {{ campaign_parts() }}

)

select
    campaigns.campaign_key,
    campaigns.order_id,
    campaigns.campaign_id,
    campaigns.publication_code,
    publications.publication_id,
    publications.publication_name,
    campaigns.creative_id,
    campaigns.channel,
    campaigns.first_date,
    campaigns.last_date,
    campaigns.active_days,
    campaigns.sessions
from campaigns
left join {{ ref('dim_publications') }} as publications
    on campaigns.publication_code = publications.publication_code
