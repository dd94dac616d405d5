with given as (

    select
        as_of.as_of_date as report_date,
        count(distinct as_of.identity_id) as recurring,
        count(distinct case when as_of.first_date = as_of.as_of_date then as_of.identity_id end) as first_time
    from {{ ref('int_identities_as_of') }} as as_of
    inner join {{ ref('identity_nodes') }} as identity_nodes
        on
            as_of.node_key = identity_nodes.node_key
            and as_of.as_of_date = identity_nodes.session_date
    where {{ in_built_days('retention', 'as_of.as_of_date') }}
    group by as_of.as_of_date

),

counted as (

    select
        report_date,
        sum(case when cohort_kind = 'recurring' then cohort_size end) as recurring,
        sum(case when cohort_kind = 'first_time' then cohort_size end) as first_time
    from {{ ref('retention') }}
    where {{ in_built_days('retention', 'report_date') }} and period = 'day' and period_number = 0
    group by report_date

)

select
    counted.report_date,
    given.recurring as given_recurring,
    counted.recurring,
    given.first_time as given_first_time,
    counted.first_time
from counted
full outer join given
    on counted.report_date = given.report_date
where
    coalesce(given.recurring, 0) is distinct from counted.recurring
    or coalesce(given.first_time, 0) is distinct from counted.first_time
