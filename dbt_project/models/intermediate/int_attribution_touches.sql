-- One row per path, touch in its reach, and kind of touch that it counts as: `touch`, a click or a visit with a source;
-- `retargeting`, one of a retargeting campaign, which reaches further; `impression` and `retargeting impression`; and
-- `direct`, visits without a source, where those are no touches.
{%- set touch_days = days_of(var('attribution_click_seconds')) | int %}
{%- set retargeting_days = days_of(var('attribution_reattribution_seconds')) | int %}
{%- set impression_days = days_of(var('attribution_impression_seconds')) | int %}
{%- set kinds = {
    'touch': ("touch_type <> 'impression'" ~ ('' if var('attribution_include_direct') else ' and not is_direct'), touch_days),
    'retargeting': ("touch_type <> 'impression' and is_retargeting", retargeting_days),
    'impression': ("touch_type = 'impression'", impression_days),
    'retargeting impression': ("touch_type = 'impression' and is_retargeting", impression_days),
    'direct': ('false' if var('attribution_include_direct') else 'is_direct', touch_days)
} %}

with touches as (

    select
        touch_date,
        touch_id,
        touch_type,
        touch_ts,
        {{ path_node('person_key', 'session_id') }} as node_key,
        site_id,
        session_id,
        is_direct,
        ip_hash,
        user_agent,
        {{ channel_priority('channel') }} as priority,
        {{ matches_any('retargeting_campaigns', 'campaign_regex', 'campaign_id') }} as is_retargeting
    from {{ ref('touchpoints') }}
    -- There are many impressions, and they reach a short way.
    where
        touch_type <> 'impression'
        or {{ near_built_days('attribution', 'touch_date', before=impression_days, after=1) }}

),

paths as (

    select distinct
        path_number,
        session_date,
        owner,
        path_site
    from {{ ref('int_attribution_conversions') }}

),

-- All that the owners of paths are known by.
nodes as (

    select distinct
        session_date,
        owner,
        node_key
    from {{ ref('int_attribution_conversions') }}

    union

    select
        owners.session_date,
        owners.owner,
        as_of.node_key
    from {{ ref('int_identities_as_of') }} as as_of
    inner join (
        select distinct
            session_date,
            owner,
            identity_id
        from {{ ref('int_attribution_conversions') }}
    ) as owners
        on as_of.as_of_date = owners.session_date and as_of.identity_id = owners.identity_id

),

known_touches as (

    select
        nodes.session_date,
        nodes.owner,
        touches.*
    from touches
    inner join nodes
        on
            touches.node_key = nodes.node_key
            and touches.touch_date <= nodes.session_date + 1
            and touches.touch_date >= nodes.session_date - {{ [touch_days, retargeting_days] | max + 1 }}

),

-- Where the owners have visited from lately, on any site.
addresses as (

    select distinct
        session_date,
        owner,
        ip_hash,
        user_agent
    from known_touches
    where
        touch_type = 'session'
        and ip_hash is not null
        and user_agent is not null
        and touch_date <= session_date
        and touch_date >= session_date - {{ touch_days }}

),

-- Who else has. People who were not seen on the day are told apart by their keys, which can only be too many.
addresses_of_few as (

    select
        asked.session_date,
        asked.ip_hash,
        asked.user_agent
    from (
        select distinct
            session_date,
            ip_hash,
            user_agent
        from addresses
    ) as asked
    inner join touches
        on
            asked.ip_hash = touches.ip_hash
            and asked.user_agent = touches.user_agent
            and touches.touch_type = 'session'
            and touches.touch_date <= asked.session_date
            and touches.touch_date >= asked.session_date - {{ touch_days }}
    left join {{ ref('int_identities_as_of') }} as as_of
        on asked.session_date = as_of.as_of_date and touches.node_key = as_of.node_key
    group by asked.session_date, asked.ip_hash, asked.user_agent
    having
        count(distinct coalesce(as_of.identity_id, touches.node_key))
        <= {{ var('attribution_max_identities_per_address') }}

),

touches_in_reach as (

    select *
    from known_touches

    union all

    select
        addresses.session_date,
        addresses.owner,
        touches.*
    from addresses
    inner join addresses_of_few
        on
            addresses.session_date = addresses_of_few.session_date
            and addresses.ip_hash = addresses_of_few.ip_hash
            and addresses.user_agent = addresses_of_few.user_agent
    inner join touches
        on
            addresses.ip_hash = touches.ip_hash
            and addresses.user_agent = touches.user_agent
            and touches.node_key is null
            and touches.touch_date <= addresses.session_date + 1
            and touches.touch_date >= addresses.session_date - {{ [touch_days, retargeting_days] | max + 1 }}

),

touches_of_paths as (

    select
        paths.path_number,
        touches_in_reach.*
    from paths
    inner join touches_in_reach
        on paths.session_date = touches_in_reach.session_date and paths.owner = touches_in_reach.owner
    {% if not var('attribution_across_sites') -%}
    -- Ads are shown for a site, but do not say which.
    where
        touches_in_reach.site_id is null
        or touches_in_reach.site_id = paths.path_site
    {%- endif %}

)
{%- for kind, (condition, days) in kinds.items() %}

select
    path_number,
    '{{ kind }}' as kind,
    touch_date,
    touch_id,
    touch_ts,
    priority,
    is_direct
from touches_of_paths
where {{ condition }} and touch_date >= session_date - {{ days + 1 }}
{{- '\n\nunion all' if not loop.last }}
{%- endfor %}
