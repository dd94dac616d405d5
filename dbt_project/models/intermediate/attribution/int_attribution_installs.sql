-- One row per install that a click led to, with that click: the last one of the best evidence. That is, from the best:
-- the same click id, the same device or advertising id, the same fingerprint in one network, and, where one of the two
-- fingerprints is not known, the same address and user agent.
{%- set days = [days_of(rule('attribution_click_seconds')), days_of(rule('attribution_install_seconds'))] | max %}

-- By address, a click of an unknown device (5) fits any install; a click of a known device (6) fits only an install of
-- an unknown device.
with kinds (kind, grade, evidence, span) as (

    values
    (1, 1, 'click id', interval '{{ rule("attribution_click_seconds") }}' second),
    (2, 2, 'device id', interval '{{ rule("attribution_click_seconds") }}' second),
    (3, 2, 'advertising id', interval '{{ rule("attribution_click_seconds") }}' second),
    (4, 3, 'fingerprint in one network', interval '{{ rule("attribution_install_seconds") }}' second),
    (5, 4, 'address and user agent', interval '{{ rule("attribution_install_seconds") }}' second),
    (6, 4, 'address and user agent', interval '{{ rule("attribution_install_seconds") }}' second)

),

clicks as (

    select
        *,
        {{ channel_priority('channel') }} as priority
    from {{ ref('touchpoints') }}
    -- A visit stands for the click that led to it, if that click has no row of its own.
    where
        (
            touch_type = 'click'
            or (touch_type = 'session' and not is_direct and coalesce(click_id, ad_click_id) is not null)
        )
        and {{ in_built_days('attribution_shares', 'touch_date', before=days, after=1) }}

),

installs as (

    select *
    from {{ ref('int_attribution_conversions') }}
    where conversion_type = 'install'

),

keys_of_clicks as (

    select
        clicks.*,
        kinds.kind,
        {{ install_evidence(
            'clicks', 'clicks.device_fingerprint is null', 'clicks.device_fingerprint is not null'
        ) }} as evidence_key
    from clicks
    cross join kinds

),

keys_of_installs as (

    select
        installs.*,
        kinds.kind,
        {{ install_evidence('installs', 'true', 'installs.device_fingerprint is null') }} as evidence_key
    from installs
    cross join kinds

),

-- One pass in the order of time, fast for any number of rows with one key.
moments as (

    select
        kind,
        evidence_key,
        touch_type = 'session' as is_visit,
        case when {{ rule('attribution_across_sites') }} then '' else coalesce(site_id, '') end as asked_site,
        touch_ts as moment,
        0 as moment_kind,
        priority,
        touch_id,
        touch_ts,
        touch_date,
        cast(null as bigint) as conversion_number
    from keys_of_clicks
    where
        exists (
            select 1
            from keys_of_installs
            where
                keys_of_installs.kind = keys_of_clicks.kind
                and keys_of_installs.evidence_key = keys_of_clicks.evidence_key
        )

    union all

    -- An ad's click names no site.
    select
        keys_of_installs.kind,
        keys_of_installs.evidence_key,
        asked.is_visit,
        case when asked.is_of_site then keys_of_installs.path_site else '' end as asked_site,
        keys_of_installs.conversion_ts as moment,
        1 as moment_kind,
        null as priority,
        null as touch_id,
        null as touch_ts,
        null as touch_date,
        keys_of_installs.conversion_number
    from keys_of_installs
    cross join (values (true, true), (true, false), (false, true), (false, false)) as asked (is_visit, is_of_site)
    where keys_of_installs.evidence_key is not null

),

matched as (

    select
        kind,
        is_visit,
        moment,
        moment_kind,
        conversion_number,
        last_value(touch_date ignore nulls) over so_far as touch_date,
        last_value(touch_id ignore nulls) over so_far as touch_id,
        last_value(touch_ts ignore nulls) over so_far as touch_ts,
        last_value(priority ignore nulls) over so_far as priority
    from moments
    window
        so_far as (
            partition by kind, evidence_key, is_visit, asked_site
            order by moment, moment_kind, priority, touch_id, conversion_number
            rows between unbounded preceding and current row
        )

),

in_time as (

    select
        matched.*,
        kinds.evidence,
        row_number() over (
            partition by matched.conversion_number
            order by
                kinds.grade asc,
                matched.is_visit asc,
                matched.touch_ts desc,
                matched.priority desc,
                matched.touch_id desc,
                kinds.kind asc
        ) as choice
    from matched
    inner join kinds
        on matched.kind = kinds.kind
    where matched.moment_kind = 1 and matched.moment <= matched.touch_ts + kinds.span

)

select
    conversion_number,
    evidence,
    touch_date,
    touch_id,
    touch_ts
from in_time
where choice = 1
