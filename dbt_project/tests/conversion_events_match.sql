{{ config(severity='warn', meta={'names': 'event_type'}) }}

select conversion_events.event_type
from {{ ref('conversion_events') }} as conversion_events
left join {{ ref('fact_events') }} as events
    on conversion_events.event_type = events.event_type and {{ in_window('events.session_date') }}
where {{ is_own('conversion_events') }} and events.event_type is null
group by conversion_events.event_type
order by conversion_events.event_type
