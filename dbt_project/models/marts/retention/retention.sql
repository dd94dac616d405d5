-- One row per report date (UTC), period, kind of cohort and cohort: how many of those who were there in the cohort's
-- own period were there in the one that ends with the report date. People are identities, as known at that day's end.
{{ config(
    partition_by='report_date',
    sort_by=['period', 'cohort_kind', 'cohort_date'],
    restates={'before': 1, 'after': 30}
) }}
{%- set days_before = [rule('retention_days') | int, 6 + 7 * (rule('retention_weeks') | int)] | max %}

-- Every day is a period of its own. A week ends with its Sunday.
with periods as (

    select
        as_of_date as report_date,
        'day' as period,
        1 as period_days,
        {{ rule('retention_days') }} as last_number
    from {{ ref('int_as_of_days') }}
    where {{ in_built_days('retention', 'as_of_date') }}
    union all
    select
        as_of_date as report_date,
        'week' as period,
        7 as period_days,
        {{ rule('retention_weeks') }} as last_number
    from {{ ref('int_as_of_days') }}
    where {{ in_built_days('retention', 'as_of_date') }} and dayofweek(as_of_date) = 0

),

kinds as (

    select 'first_time' as cohort_kind
    union all
    select 'recurring' as cohort_kind

),

node_days as (

    select distinct
        node_key,
        session_date
    from {{ ref('int_identity_node_days') }}
    where {{ in_built_days('retention', 'session_date', before=days_before) }}

),

-- Periods are counted back from the one that ends with the report date, which is 0.
seen as (

    select distinct
        periods.report_date,
        periods.period,
        periods.last_number,
        as_of.identity_id,
        cast(floor((periods.report_date - as_of.first_date) / periods.period_days) as bigint) as first_number,
        cast(floor((periods.report_date - node_days.session_date) / periods.period_days) as bigint) as period_number
    from periods
    inner join {{ ref('int_identities_as_of') }} as as_of
        on periods.report_date = as_of.as_of_date
    inner join node_days
        on
            as_of.node_key = node_days.node_key
            and periods.report_date >= node_days.session_date
            and periods.report_date - periods.period_days * (periods.last_number + 1) < node_days.session_date

),

seen_now as (

    select *
    from seen
    where period_number = 0

),

counted as (

    select
        report_date,
        period,
        'first_time' as cohort_kind,
        first_number as period_number,
        count(*) as identities
    from seen_now
    where first_number <= last_number
    group by report_date, period, first_number
    union all
    select
        seen.report_date,
        seen.period,
        'recurring' as cohort_kind,
        seen.period_number,
        count(*) as identities
    from seen
    inner join seen_now
        on
            seen.report_date = seen_now.report_date
            and seen.period = seen_now.period
            and seen.identity_id = seen_now.identity_id
    group by seen.report_date, seen.period, seen.period_number

),

-- A cohort keeps the size that it had on its own day: a published number stays right if two people later turn out to be
-- one person, or a person known before.
cohorts as (

    select
        period,
        cohort_kind,
        cohort_date,
        cohort_size
    from {{ ref('int_retention_history') }}
    union all
    select
        periods.period,
        kinds.cohort_kind,
        periods.report_date - periods.period_days + 1 as cohort_date,
        coalesce(counted.identities, 0) as cohort_size
    from periods
    cross join kinds
    left join counted
        on
            periods.report_date = counted.report_date
            and periods.period = counted.period
            and kinds.cohort_kind = counted.cohort_kind
            and counted.period_number = 0

),

followed as (

    select
        periods.report_date,
        periods.period,
        cohorts.cohort_kind,
        cohorts.cohort_date,
        periods.last_number,
        cohorts.cohort_size,
        cast(
            floor((periods.report_date - cohorts.cohort_date) / periods.period_days) as bigint
        ) as period_number
    from periods
    inner join cohorts
        on periods.period = cohorts.period and periods.report_date >= cohorts.cohort_date

),

-- An identity splits into several when one of its ids turns out to be shared by too many. Then more identities can come
-- back than were counted, and the cohort counts as fully retained.
measured as (

    select
        followed.*,
        least(coalesce(counted.identities, 0), followed.cohort_size) as retained
    from followed
    left join counted
        on
            followed.report_date = counted.report_date
            and followed.period = counted.period
            and followed.cohort_kind = counted.cohort_kind
            and followed.period_number = counted.period_number
    where followed.period_number <= followed.last_number

)

select
    report_date,
    period,
    cohort_kind,
    cohort_date,
    period_number,
    cohort_size,
    retained,
    {{ percentage('retained', 'cohort_size') }} as retention_rate
from measured
