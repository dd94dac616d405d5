with visits_by_ad as (

    select
        touch_date,
        ad_click_id
    from {{ ref('touchpoints') }}
    where ad_click_id is not null

),

touched_sessions as (

    select distinct
        touch_date,
        session_id
    from {{ ref('touchpoints') }}
    where session_id is not null

),

ads as (

    select
        ad_touches.touch_date,
        ad_touches.touch_type || ':' || ad_touches.request_id as touch_id
    from {{ ref('ad_touches') }} as ad_touches
    left join {{ ref('touchpoints') }} as touchpoints
        on
            ad_touches.touch_date = touchpoints.touch_date
            and ad_touches.touch_type || ':' || ad_touches.request_id = touchpoints.touch_id
    left join visits_by_ad
        on
            ad_touches.touch_type = 'click'
            and ad_touches.request_id = visits_by_ad.ad_click_id
            and visits_by_ad.touch_date between ad_touches.touch_date and ad_touches.touch_date + 1
    where
        {{ in_built_days('touchpoints', 'ad_touches.touch_date') }}
        and (touchpoints.touch_id is null) = (visits_by_ad.ad_click_id is null)

),

visits as (

    select
        sessions.session_date as touch_date,
        'session:' || sessions.session_id as touch_id
    from {{ ref('sessions') }} as sessions
    left join touched_sessions as touched
        on sessions.session_date = touched.touch_date and sessions.session_id = touched.session_id
    where
        {{ in_built_days('touchpoints', 'sessions.session_date') }}
        and sessions.is_bot = (touched.session_id is not null)

)

select *
from ads
union all
select *
from visits
