{{ config(severity='warn') }}

select
    session_date,
    site_id,
    count(*) as copies,
    sum(value) as left_out,
    min(transaction_id) as one_transaction
from {{ ref('fact_conversions') }}
where {{ in_built_days('fact_conversions', 'session_date') }} and status = 'copy'
group by session_date, site_id
