-- One row per event whose type is in the table conversion_events, of the days of the sessions to be built: what it
-- counts as, and its revenue. A conversion repeats an earlier one that names the same transaction up to
-- `transaction_days` before it; a refund takes back a conversion that lies up to `refund_days` before it.
{%- set is_of_built_days = in_built_days('sessions', 'event_date') %}
{%- set refund_span = "interval '" ~ rule('refund_days') ~ "' day" %}

with events as (

    select
        *,
        {{ is_of_built_days }} as is_of_built_day
    from {{ ref('int_conversion_events') }}
    where {{ in_built_days('sessions', 'event_date', after=1) }}

),

-- Days to be built come from raw: their files may be from before a late event, or not be there yet.
of_days as (

    select
        conversion_id,
        event_date,
        site_id,
        transaction_id,
        event_ts,
        event_id,
        compared_as,
        kind,
        amount,
        currency,
        cast(null as date) as of_no_day
    from {{ ref('transactions') }}
    where not ({{ is_of_built_days }})
    union all
    select
        conversion_id,
        event_date,
        site_id,
        transaction_id,
        event_ts,
        event_id,
        compared_as,
        kind,
        amount,
        currency,
        cast(null as date) as of_no_day
    from events
    where transaction_id is not null and is_of_built_day

),

-- A session goes on into a day that is not there yet. Its events are compared with the days before, and no day with
-- them: else a day would have other numbers in a range than alone.
of_no_day as (

    select
        events.conversion_id,
        events.event_date,
        events.site_id,
        events.transaction_id,
        events.event_ts,
        events.event_id,
        events.compared_as,
        events.kind,
        events.amount,
        events.currency,
        events.event_date as of_no_day
    from events
    left join of_days
        on events.conversion_id = of_days.conversion_id
    where events.transaction_id is not null and not events.is_of_built_day and of_days.conversion_id is null

),

wanted as (

    select distinct
        site_id,
        transaction_id,
        of_no_day
    from of_no_day

),

named as (

    select *
    from of_days
    union all
    select *
    from of_no_day
    union all
    select
        of_days.conversion_id,
        of_days.event_date,
        of_days.site_id,
        of_days.transaction_id,
        of_days.event_ts,
        of_days.event_id,
        of_days.compared_as,
        of_days.kind,
        of_days.amount,
        of_days.currency,
        wanted.of_no_day
    from of_days
    inner join wanted
        on
            of_days.site_id is not distinct from wanted.site_id
            and of_days.transaction_id = wanted.transaction_id
            and of_days.event_date < wanted.of_no_day

),

-- A copy is known by the one before it, so that a day needs no more than `transaction_days` before it: in a chain of
-- copies all but the first are copies.
compared as (

    select
        *,
        lag(conversion_id) over in_order as previous_id,
        event_ts <= lag(event_ts) over in_order + interval '{{ rule("transaction_days") }}' day as is_copy
    from named
    where kind = 'conversion'
    window in_order as (partition by of_no_day, site_id, compared_as, transaction_id order by event_ts, event_id)

),

moments as (

    select
        conversion_id,
        site_id,
        transaction_id,
        event_ts,
        event_id,
        amount,
        currency,
        event_date,
        of_no_day,
        false as is_refund,
        coalesce(is_copy, false) as is_copy
    from compared
    where compared_as = '(revenue)'
    union all
    select
        conversion_id,
        site_id,
        transaction_id,
        event_ts,
        event_id,
        amount,
        currency,
        event_date,
        of_no_day,
        true as is_refund,
        false as is_copy
    from named
    where kind = 'refund'

),

-- The latest conversion that is no copy within the span of a refund; if its beginning lies before, the first one in it.
-- So a refund, too, depends on no day before its span.
refunds as (

    select
        conversion_id,
        is_refund,
        coalesce(event_date = of_no_day, true) as is_own,
        of_no_day,
        coalesce(
            max_by(conversion_id, case when not is_refund and not is_copy then event_ts end) over in_span,
            min_by(conversion_id, case when not is_refund then (event_ts, event_id) end) over in_span
        ) as taken_back_id,
        -- What earlier refunds have taken back.
        coalesce(sum(case when is_refund then amount end) over so_far, 0)
        - coalesce(sum(case when is_refund then amount end) over before_span, 0) as taken,
        count(case when is_refund and amount is null then 1 end) over so_far
        - count(case when is_refund and amount is null then 1 end) over before_span as taken_whole,
        min(case when is_refund and amount is not null then coalesce(currency, '') end) over in_span as one_currency,
        max(case when is_refund and amount is not null then coalesce(currency, '') end) over in_span as other_currency
    from moments
    window
        in_span as (
            partition by of_no_day, site_id, transaction_id
            order by event_ts range between {{ refund_span }} preceding and current row
        ),
        before_span as (
            partition by of_no_day, site_id, transaction_id
            order by event_ts range between unbounded preceding and {{ refund_span }} preceding
        ),
        so_far as (
            partition by of_no_day, site_id, transaction_id
            order by event_ts, event_id rows between unbounded preceding and 1 preceding
        )

),

taken_back as (

    select
        refunds.conversion_id,
        refunds.taken_back_id,
        conversions.currency,
        -- All that is left of it; not known if parts were taken back in another currency.
        case
            when conversions.amount is null then null
            when refunds.taken_whole > 0 then 0
            when
                refunds.one_currency is null
                or (
                    refunds.one_currency = refunds.other_currency
                    and refunds.one_currency in ('', coalesce(conversions.currency, ''))
                )
                then -greatest(conversions.amount + refunds.taken, 0)
        end as amount_left
    from refunds
    inner join named as conversions
        on
            refunds.taken_back_id = conversions.conversion_id
            and refunds.of_no_day is not distinct from conversions.of_no_day
    where refunds.is_refund and refunds.is_own

),

judged as (

    select
        events.*,
        case
            when events.kind = 'refund' then 'refund'
            when compared.is_copy then 'copy'
            else 'conversion'
        end as status,
        case
            when events.kind = 'refund' then taken_back.taken_back_id
            when compared.is_copy then compared.previous_id
        end as names_conversion_id,
        taken_back.amount_left,
        taken_back.currency as taken_back_currency
    from events
    left join compared
        on
            events.conversion_id = compared.conversion_id
            and (compared.of_no_day is null or compared.of_no_day = compared.event_date)
    left join taken_back
        on events.conversion_id = taken_back.conversion_id

),

valued as (

    select
        *,
        coalesce(amount, amount_left, default_refund) as value,
        case
            when amount is null and amount_left is null and default_refund is not null then default_currency
            else coalesce(currency, case when status = 'refund' then taken_back_currency end)
        end as value_currency,
        case
            when amount is null and amount_left is not null then 'conversion'
            when amount is null and default_refund is not null then 'default'
            else value_from
        end as value_origin
    from judged

)

select
    conversion_id,
    event_date,
    site_id,
    event_id,
    event_ts,
    conversion_type,
    transaction_id,
    status,
    names_conversion_id,
    case when status = 'conversion' then 1 else 0 end as conversions,
    cast(value as decimal(18, 4)) as value,
    cast(case when status <> 'copy' then value end as decimal(18, 4)) as revenue,
    value_currency as currency,
    value_origin as value_from
from valued
