-- One row per path, touch in its reach, and kind of touch that it counts as: `touch`, a click or a visit with a source;
-- `retargeting`, one of a retargeting campaign, which reaches further; `impression` and `retargeting impression`; and
-- `direct`, visits without a source, where those are no touches.
-- depends_on: {{ ref('retargeting_campaigns') }}
{%- set touch_days = days_of(rule('attribution_click_seconds')) %}
{%- set reach_days = [touch_days, days_of(rule('attribution_reattribution_seconds'))] | max %}
{%- set ignored = 'false' if rule('attribution_include_direct') else 'touches.is_direct' %}
{%- set impression_days = days_of(rule('attribution_impression_seconds')) %}

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
    -- Impressions are many, and their look-back window is short.
    where
        {{ in_built_days('attribution_shares', 'touch_date', before=reach_days, after=1) }}
        and (
            touch_type <> 'impression'
            or {{ in_built_days('attribution_shares', 'touch_date', before=impression_days, after=1) }}
        )

),

paths as (

    select distinct
        path_number,
        session_date,
        owner_key,
        path_site
    from {{ ref('int_attribution_conversions') }}

),

owners as (

    select distinct
        session_date,
        owner_key,
        identity_id,
        node_key
    from {{ ref('int_attribution_conversions') }}

),

-- All ids of the owners of paths.
nodes as (

    select
        session_date,
        owner_key,
        node_key
    from owners

    union

    select
        owners.session_date,
        owners.owner_key,
        as_of.node_key
    from owners
    inner join {{ ref('int_identities_as_of') }} as as_of
        on owners.session_date = as_of.as_of_date and owners.identity_id = as_of.identity_id

),

known_touches as (

    select
        nodes.session_date,
        nodes.owner_key,
        touches.*
    from touches
    inner join nodes
        on
            touches.node_key = nodes.node_key
            and touches.touch_date <= nodes.session_date + 1
            and touches.touch_date >= nodes.session_date - {{ reach_days }}

),

-- Addresses and user agents of the owners' recent visits, on any site.
addresses as (

    select distinct
        session_date,
        owner_key,
        ip_hash,
        user_agent
    from known_touches
    where
        touch_type = 'session'
        and ip_hash is not null
        and user_agent is not null
        and touch_date <= session_date
        and touch_date >= session_date - {{ touch_days - 1 }}

),

asked_addresses as (

    select distinct
        session_date,
        ip_hash,
        user_agent
    from addresses

),

-- Other people with the same addresses and user agents. People not seen on the day are counted by their keys, which can
-- only count too many.
addresses_of_few as (

    select
        asked.session_date,
        asked.ip_hash,
        asked.user_agent
    from asked_addresses as asked
    inner join touches
        on
            asked.ip_hash = touches.ip_hash
            and asked.user_agent = touches.user_agent
            and touches.touch_type = 'session'
            and asked.session_date >= touches.touch_date
            and touches.touch_date >= asked.session_date - {{ touch_days - 1 }}
    left join {{ ref('int_identities_as_of') }} as as_of
        on asked.session_date = as_of.as_of_date and touches.node_key = as_of.node_key
    group by asked.session_date, asked.ip_hash, asked.user_agent
    having
        count(distinct coalesce(as_of.identity_id, touches.node_key))
        <= {{ rule('attribution_max_identities_per_address') }}

),

touches_in_reach as (

    select *
    from known_touches

    union all

    select
        addresses.session_date,
        addresses.owner_key,
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
            and touches.touch_date >= addresses.session_date - {{ reach_days }}

),

touches_of_paths as (

    select
        paths.path_number,
        touches_in_reach.*
    from paths
    inner join touches_in_reach
        on paths.session_date = touches_in_reach.session_date and paths.owner_key = touches_in_reach.owner_key
    -- Ads do not name the site for which they are shown.
    where
        {{ rule('attribution_across_sites') }}
        or touches_in_reach.site_id is null
        or touches_in_reach.site_id = paths.path_site

)

select
    touches.path_number,
    kinds.kind,
    touches.touch_date,
    touches.touch_id,
    touches.touch_ts,
    touches.priority,
    touches.is_direct
from touches_of_paths as touches
inner join {{ kinds_of_touches() }}
    on
        case kinds.kind
            when 'touch' then touches.touch_type <> 'impression' and not ({{ ignored }})
            when 'retargeting' then touches.touch_type <> 'impression' and touches.is_retargeting
            when 'impression' then touches.touch_type = 'impression'
            when 'retargeting impression' then touches.touch_type = 'impression' and touches.is_retargeting
            else {{ ignored }}
        end
        and touches.touch_date > touches.session_date - kinds.span - interval '2' day
