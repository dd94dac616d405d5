-- One row per install that a click led to, with that click: the last one of the best kind of evidence. Evidence is, from
-- the best: the same click id, the same device or advertising id, the same fingerprint in one network, and, where one
-- of the two fingerprints is not known, the same address and user agent.
{%- set seconds = {
    'click id': var('attribution_click_seconds'),
    'device id': var('attribution_click_seconds'),
    'advertising id': var('attribution_click_seconds'),
    'fingerprint in one network': var('attribution_install_seconds'),
    'address and user agent': var('attribution_install_seconds')
} %}
{%- set ranks = {
    'click id': 1,
    'device id': 2,
    'advertising id': 2,
    'fingerprint in one network': 3,
    'address and user agent': 4
} %}
{%- set evidence = {
    'click id': "case when click_id_kind not in ('oid', 'cid') then lower(click_id_kind) || '=' || click_id end",
    'device id': 'device_id',
    'advertising id': 'advertising_id',
    'fingerprint in one network': "device_fingerprint || '@' || subnet_hash"
} %}

with clicks as (

    select
        *,
        {{ channel_priority('channel') }} as priority
    from {{ ref('touchpoints') }}
    -- A visit that a click led to stands for the click, where that is not in the table itself.
    where
        touch_type = 'click'
        or (touch_type = 'session' and not is_direct and coalesce(click_id, ad_request_id) is not null)

),

installs as (

    select *
    from {{ ref('int_attribution_conversions') }}
    where conversion_type = 'install'

),

-- Ids of an ad, which all of its clicks carry, are no ids of a click. An ad's click names no site.
keys_of_clicks as (
{%- for match, key in evidence.items() %}

    select
        '{{ match }}' as match,
        {{ key }} as match_key,
        clicks.*
    from clicks
    where {{ key }} is not null

    union all
{%- endfor %}

    select
        'address and user agent' as match,
        case when device_fingerprint is null then 'any|' else 'unknown|' end || ip_hash || '|' || user_agent as match_key,
        clicks.*
    from clicks
    where ip_hash is not null and user_agent is not null

),

keys_of_installs as (
{%- for match, key in evidence.items() %}

    select
        '{{ match }}' as match,
        {{ key }} as match_key,
        installs.*
    from installs
    where {{ key }} is not null

    union all
{%- endfor %}

    select
        'address and user agent' as match,
        fingerprints.prefix || installs.ip_hash || '|' || installs.user_agent as match_key,
        installs.*
    from installs
    inner join (values ('any|'), ('unknown|')) as fingerprints (prefix)
        on fingerprints.prefix = 'any|' or installs.device_fingerprint is null
    where installs.ip_hash is not null and installs.user_agent is not null

),

-- One pass in the order of time, for however many share a key.
moments as (

    select
        match,
        match_key,
        touch_type = 'session' as is_visit,
        {% if var('attribution_across_sites') %}''{% else %}coalesce(site_id, ''){% endif %} as match_site,
        touch_ts as moment,
        0 as moment_kind,
        priority,
        touch_id,
        touch_ts,
        touch_date,
        cast(null as bigint) as conversion_number
    from keys_of_clicks

    union all

    select distinct
        keys_of_installs.match,
        keys_of_installs.match_key,
        types.is_visit,
        sites.match_site,
        keys_of_installs.conversion_ts as moment,
        1 as moment_kind,
        null as priority,
        null as touch_id,
        null as touch_ts,
        null as touch_date,
        keys_of_installs.conversion_number
    from keys_of_installs
    cross join (values (true), (false)) as types (is_visit)
    cross join lateral (values (keys_of_installs.path_site), ('')) as sites (match_site)

),

matched as (

    select
        match,
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
            partition by match, match_key, is_visit, match_site
            order by moment, moment_kind, priority, touch_id, conversion_number
            rows between unbounded preceding and current row
        )

),

in_time as (

    select
        *,
        row_number() over (
            partition by conversion_number
            order by
                case match {% for match, rank in ranks.items() %}when '{{ match }}' then {{ rank }} {% endfor %}end,
                is_visit,
                touch_ts desc,
                priority desc,
                touch_id desc,
                match
        ) as place
    from matched
    where
        moment_kind = 1
        and moment <= touch_ts + case match
            {%- for match, span in seconds.items() %}
            when '{{ match }}' then interval '{{ span }}' second
            {%- endfor %}
        end

)

select
    conversion_number,
    match,
    touch_date,
    touch_id,
    touch_ts
from in_time
where place = 1
