with of_people as (

    select
        session_date,
        count(*) as sessions
    from {{ ref('sessions') }}
    where
        {{ in_built_days('identity_nodes', 'session_date') }}
        and {{ person_key('user_id', 'visitor_key', 'is_bot') }} is not null
    group by session_date

),

counted as (

    select
        report_date,
        sum(sessions) as sessions
    from {{ ref('identities') }}
    where {{ in_built_days('identity_nodes', 'report_date') }}
    group by report_date

)

select
    coalesce(of_people.session_date, counted.report_date) as report_date,
    of_people.sessions as given_sessions,
    counted.sessions
from of_people
full outer join counted
    on of_people.session_date = counted.report_date
where of_people.sessions is distinct from counted.sessions
