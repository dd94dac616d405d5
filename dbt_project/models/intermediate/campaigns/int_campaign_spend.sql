-- One row per amount spent on a campaign on a day, for all days, from the seed and from the lake's own file.
{{ config(materialized='table') }}

with amounts as (

    select
        spend_date,
        {{ campaign_parts() }},
        spend,
        currency
    from {{ ref('campaign_spend') }}
    union all by name
    select
        spend_date,
        {{ campaign_parts() }},
        spend,
        currency
    from {{ reference_file('campaign_spend') }}

)

select
    spend_date,
    nullif(trim(order_id), '') as order_id,
    nullif(trim(campaign_id), '') as campaign_id,
    nullif(trim(publication_code), '') as publication_code,
    nullif(trim(creative_id), '') as creative_id,
    nullif(trim(channel), '') as channel,
    spend,
    upper(nullif(trim(currency), '')) as currency
from amounts
