-- One row per amount spent on a campaign on a day, for all days.
{{ config(materialized='table') }}

select
    spend_date,
    nullif(trim(order_id), '') as order_id,
    nullif(trim(campaign_id), '') as campaign_id,
    nullif(trim(publication_code), '') as publication_code,
    nullif(trim(creative_id), '') as creative_id,
    nullif(trim(channel), '') as channel,
    spend,
    upper(nullif(trim(currency), '')) as currency
from {{ ref('campaign_spend') }}
