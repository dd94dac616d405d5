-- One row per report date (UTC), site, is_bot, dimension and value (null is a value of its own): the sessions that
-- began on that day by channel, device category and country, and the pages that they viewed.
{{ config(
    partition_by='report_date',
    sort_by=['site_id', 'is_bot', 'dimension', 'value'],
    restates={'before': 1, 'after': 30}
) }}

with of_built_days as (

    select *
    from {{ ref('sessions') }}
    where {{ in_built_days('site_daily_by', 'session_date') }}

),

-- A page's views go with the session, whose is_bot may come from another event.
views as (

    select
        of_built_days.session_date as report_date,
        of_built_days.site_id,
        of_built_days.is_bot,
        session_events.path as value,
        {{ one_tenant("of_built_days.tenant_id") }} as tenant_id,
        count(distinct of_built_days.visitor_key) as visitors,
        count(distinct of_built_days.session_id) as sessions,
        count(*) as page_views,
        0 as entries,
        0 as exits
    from {{ ref('int_session_events') }} as session_events
    inner join {{ ref('int_session_starts') }} as session_starts
        on
            session_events.owner_number = session_starts.owner_number
            and session_events.session_place = session_starts.session_place
    inner join of_built_days
        on session_starts.session_id = of_built_days.session_id
    where session_events.is_page_view
    group by of_built_days.session_date, of_built_days.site_id, of_built_days.is_bot, session_events.path

),

views_and_ends as (

    select *
    from views
    {%- for page, is_entry in (('entry_page', 1), ('exit_page', 0)) %}
        union all
        select
            session_date as report_date,
            site_id,
            is_bot,
            {{ page }} as value,
            {{ one_tenant("tenant_id") }} as tenant_id,
            0 as visitors,
            0 as sessions,
            0 as page_views,
            {{ is_entry }} * count(*) as entries,
            {{ 1 - is_entry }} * count(*) as exits
        from of_built_days
        group by session_date, site_id, is_bot, {{ page }}
    {%- endfor %}

)
{%- for dimension in ('channel', 'device_category', 'country') %}

    select
        session_date as report_date,
        site_id,
        is_bot,
        '{{ dimension }}' as dimension,
        {{ dimension }} as value,
        {{ one_tenant("tenant_id") }} as tenant_id,
        {{ session_measures() }},
        cast(null as bigint) as entries,
        cast(null as bigint) as exits
    from of_built_days
    group by session_date, site_id, is_bot, {{ dimension }}
    union all
{%- endfor %}

select
    report_date,
    site_id,
    is_bot,
    'page' as dimension,
    value,
    {{ one_tenant("tenant_id") }} as tenant_id,
    cast(sum(visitors) as bigint) as visitors,
    cast(null as bigint) as new_visitors,
    cast(sum(sessions) as bigint) as sessions,
    cast(sum(page_views) as bigint) as page_views,
    cast(null as bigint) as events,
    cast(null as bigint) as bounces,
    cast(null as double) as bounce_rate,
    cast(null as bigint) as engaged_sessions,
    cast(null as double) as engagement_rate,
    cast(null as double) as average_duration_seconds,
    cast(null as bigint) as conversions,
    cast(null as decimal(18, 4)) as revenue,
    cast(null as varchar) as currency,
    cast(sum(entries) as bigint) as entries,
    cast(sum(exits) as bigint) as exits
from views_and_ends
group by report_date, site_id, is_bot, value
