-- One row per report date (UTC), site and is_bot: the sessions that began on that day. Sites without one have no row.
{{ config(
    partition_by='report_date',
    sort_by=['site_id', 'is_bot'],
    restates={'before': 1, 'after': 30}
) }}

with of_built_days as (

    select *
    from {{ ref('sessions') }}
    where {{ in_built_days('site_daily', 'session_date') }}

),

measured as (

    select
        session_date as report_date,
        site_id,
        is_bot,
        {{ one_tenant("tenant_id") }} as tenant_id,
        {{ session_measures() }}
    from of_built_days
    group by session_date, site_id, is_bot

),
{%- for page in ('entry_page', 'exit_page') %}

    {{ page }}s as (

        select
            session_date as report_date,
            site_id,
            is_bot,
            {{ page }},
            row_number() over (
                partition by session_date, site_id, is_bot
                order by count(*) desc, {{ page }}
            ) as place
        from of_built_days
        where {{ page }} is not null
        group by session_date, site_id, is_bot, {{ page }}

    ){{ ',' if not loop.last }}
{%- endfor %}

select
    measured.report_date,
    measured.site_id,
    measured.tenant_id,
    measured.is_bot,
    measured.visitors,
    measured.new_visitors,
    measured.sessions,
    measured.page_views,
    measured.events,
    measured.bounces,
    measured.bounce_rate,
    measured.engaged_sessions,
    measured.engagement_rate,
    measured.average_duration_seconds,
    measured.conversions,
    measured.revenue,
    measured.currency,
    active_visitors.dau,
    active_visitors.wau,
    active_visitors.mau,
    entry_pages.entry_page as top_entry_page,
    exit_pages.exit_page as top_exit_page
from measured
left join {{ ref('int_active_visitors') }} as active_visitors
    on
        measured.report_date = active_visitors.report_date
        and measured.site_id is not distinct from active_visitors.site_id
        and measured.is_bot = active_visitors.is_bot
{%- for pages in ('entry_pages', 'exit_pages') %}
    left join {{ pages }}
        on
            measured.report_date = {{ pages }}.report_date
            and measured.site_id is not distinct from {{ pages }}.site_id
            and measured.is_bot = {{ pages }}.is_bot
            and {{ pages }}.place = 1
{%- endfor %}
