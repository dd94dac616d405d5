-- One row per event whose type is in the table conversion_events, of the event dates that this run reads.
select
    {{ event_key('stg_events') }} as conversion_id,
    cast(stg_events.event_ts as date) as event_date,
    stg_events.site_id,
    stg_events.tenant_id,
    stg_events.event_id,
    stg_events.event_ts,
    conversion_events.conversion_type,
    case
        when conversion_events.revenue = 'refunded' then 'refund'
        when conversion_events.revenue = 'earned' and stg_events.revenue < 0 then 'refund'
        else 'conversion'
    end as kind,
    -- A form at the checkout names the order too: what earns nothing must not make a copy of the purchase.
    case
        when conversion_events.revenue = 'none' then conversion_events.conversion_type
        else '(revenue)'
    end as compared_as,
    -- A crawler on the page of thanks repeats nobody's purchase.
    case when not {{ is_robot('stg_events') }} then stg_events.transaction_id end as transaction_id,
    case
        when conversion_events.revenue = 'refunded' then -abs(stg_events.revenue)
        when conversion_events.revenue = 'earned' then coalesce(stg_events.revenue, conversion_events.default_value)
    end as amount,
    -- An amount whose currency is not named is of an unknown one, not of that of another amount.
    case
        when conversion_events.revenue = 'none' then null
        when stg_events.revenue is not null or conversion_events.revenue = 'refunded' then stg_events.currency
        when conversion_events.default_value is not null then conversion_events.currency
    end as currency,
    case
        when conversion_events.revenue = 'none' then 'none'
        when stg_events.revenue is not null then 'event'
        when conversion_events.revenue = 'earned' and conversion_events.default_value is not null then 'default'
        else 'none'
    end as value_from,
    case when conversion_events.revenue = 'refunded' then -abs(conversion_events.default_value) end as default_refund,
    case when conversion_events.revenue = 'refunded' then conversion_events.currency end as default_currency
from {{ ref('stg_events') }} as stg_events
inner join {{ ref('conversion_events') }} as conversion_events
    on stg_events.event_type = conversion_events.event_type
