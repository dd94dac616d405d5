-- One row per ad click or ad impression of the window, with all parameters of its link.
select *
from {{ ref('stg_access_logs__requests') }}
where request_type in ('click', 'impression')
