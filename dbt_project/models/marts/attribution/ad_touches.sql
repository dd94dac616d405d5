-- One row per valid ad click or ad impression, before it is matched with a person.
{{ config(
    partition_by='touch_date',
    sort_by=['touch_type', 'touch_ts', 'request_id'],
    neighbour_days=3,
    is_large=true
) }}

select
    event_date as touch_date,
    request_type as touch_type,
    event_ts as touch_ts,
    request_id,
    order_id,
    campaign_id,
    publication_code,
    channel,
    creative_id,
    ip_hash,
    subnet_hash,
    user_agent
from {{ ref('int_ad_requests__validity') }}
where invalid_reason is null
