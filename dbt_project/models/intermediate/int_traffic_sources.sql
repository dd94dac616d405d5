-- One row per distinct combination of what tells where a visit came from, with its source, medium and channel.
select distinct
    utm_source,
    utm_medium,
    utm_campaign,
    click_id_kind,
    referrer_host,
    host,
    coalesce(utm_source, click_id_kind, referrer_host, '(direct)') as session_source,
    coalesce(utm_medium, '(none)') as session_medium,
    case when coalesce(utm_source, click_id_kind, referrer_host) is null then 'Direct' else 'Other' end as channel,
    coalesce(utm_source, click_id_kind, nullif(referrer_host, host)) is not null as has_source
from {{ ref('stg_events') }}
