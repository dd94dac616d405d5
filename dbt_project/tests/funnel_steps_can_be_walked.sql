select
    funnel,
    count(*) as steps,
    max(step) as last_step,
    min(within_seconds) as least_seconds,
    max(within_seconds) as most_seconds
from {{ ref('funnel_steps') }}
group by funnel
having
    min(step) <> 1
    or max(step) <> count(distinct step)
    or min(within_seconds) <> max(within_seconds)
    or min(within_seconds) < 0
    or max(within_seconds) > 86400 * {{ rule('funnel_max_days') }}
