{{ config(severity='warn') }}

with conversions as (

    select
        *,
        {{ in_window('cast(conversion_ts as date)') }} as is_of_the_run
    from {{ ref('fact_conversions') }}

)

select
    copies.session_date,
    copies.site_id,
    count(*) as copies,
    sum(copies.value) as left_out,
    min(copies.transaction_id) as one_transaction
from conversions as copies
left join conversions as named
    on copies.names_conversion_id = named.conversion_id
where
    {{ in_built_days('fact_conversions', 'copies.session_date') }}
    and copies.status = 'copy'
    -- Other days that the run restates have warned already, unless one of its own days made copies of theirs.
    and (copies.is_of_the_run or coalesce(named.is_of_the_run, false))
group by copies.session_date, copies.site_id
