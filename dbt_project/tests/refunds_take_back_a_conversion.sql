{{ config(severity='warn') }}

select
    refunds.session_date,
    refunds.site_id,
    count(*) as refunds,
    sum(refunds.revenue) as revenue,
    min(refunds.transaction_id) as one_transaction
from {{ ref('fact_conversions') }} as refunds
left join {{ ref('fact_conversions') }} as conversions
    on refunds.names_conversion_id = conversions.conversion_id and conversions.status = 'conversion'
where
    {{ in_built_days('fact_conversions', 'refunds.session_date') }}
    and {{ in_window('cast(refunds.conversion_ts as date)') }}
    and refunds.status = 'refund'
    and (conversions.conversion_id is null or refunds.revenue is null)
group by refunds.session_date, refunds.site_id
