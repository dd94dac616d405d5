-- One row per conversion or refund, model and touch of its own path; one per model where the path has no touch. A
-- conversion's share of a touch is its credit; a refund may be shared as the conversion that it takes back instead.
-- depends_on: {{ ref('retargeting_campaigns') }}
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'conversion_ts', 'conversion_id', 'model', 'position'],
    neighbour_days=61,
    restates={'before': 1, 'after': 30},
    is_large=true
) }}

-- A share is a fraction of whole numbers, so that it does not depend on the order in which rows are added up.
-- `shapley` is the Shapley value of the game in which a set of channels wins a conversion when it holds all channels of
-- its path (Zhao, Mahboobi, Bagheri 2018): each channel of the path gets the same share, whatever its place, and its
-- touches divide that share. The model needs no training, and so no other day.
{%- set shares = {
    'first': ('case when position = 1 then 1 else 0 end', '1'),
    'last': ('case when position = touches then 1 else 0 end', '1'),
    'last_non_direct': ('case when position = coalesce(last_non_direct, touches) then 1 else 0 end', '1'),
    'linear': ('1', 'touches'),
    'position_based': (
        'case when touches <= 2 then 1 when position in (1, touches) then 2 * (touches - 2) else 1 end',
        'case when touches <= 2 then touches else 5 * (touches - 2) end'
    ),
    'time_decay': ('decay', 'all_decay'),
    'shapley': ('1', 'channels * touches_of_channel')
} %}
{%- set within = {
    'click': duration_in_words(rule('attribution_click_seconds')),
    'impression': duration_in_words(rule('attribution_impression_seconds')),
    'retargeting': duration_in_words(rule('attribution_reattribution_seconds'))
} %}

with paths as (

    select
        paths.*,
        conversions.conversion_ts,
        touchpoints.touch_type,
        touchpoints.source,
        touchpoints.medium,
        touchpoints.channel,
        touchpoints.order_id,
        touchpoints.campaign_id,
        touchpoints.publication_code,
        touchpoints.creative_id,
        row_number() over (
            partition by paths.conversion_number, touchpoints.channel order by paths.position
        ) = 1 as is_first_of_channel
    from {{ ref('int_attribution_paths') }} as paths
    inner join {{ ref('int_attribution_conversions') }} as conversions
        on paths.conversion_number = conversions.conversion_number
    left join {{ ref('touchpoints') }} as touchpoints
        on paths.touch_date = touchpoints.touch_date and paths.touch_id = touchpoints.touch_id

),

measured as (

    select
        *,
        max(case when not is_direct then position end) over of_conversion as last_non_direct,
        count(case when is_first_of_channel then 1 end) over of_conversion as channels,
        count(*) over (partition by conversion_number, channel) as touches_of_channel,
        -- Ages are relative to the latest touch, so that the shares of an old path do not all round to the same small
        -- number.
        cast(round(1000000000000 * power(
            2, -{{ seconds_between('touch_ts', 'max(touch_ts) over of_conversion') }}
            / {{ rule('attribution_half_life_seconds') }}
        )) as bigint) as decay
    from paths
    window of_conversion as (partition by conversion_number)

),

decayed as (

    select
        *,
        sum(decay) over (partition by conversion_number) as all_decay
    from measured

),

in_parts as (

    select
        *,
    {%- for model, (part, whole) in shares.items() %}
        case
            when touches = 0 then 0
            else cast(floor(1000000000 * cast({{ part }} as double) / ({{ whole }})) as bigint)
        end as {{ model }}_parts{{ ',' if not loop.last }}
    {%- endfor %}
    from decayed

),

-- Shares are whole billionths, rounded down; the last touch gets the remainder.
in_units as (

    select
        *,
    {%- for model in shares %}
        case
            when touches = 0 then 0
            when position = touches then 1000000000 - sum({{ model }}_parts) over of_conversion + {{ model }}_parts
            else {{ model }}_parts
        end as {{ model }}_units{{ ',' if not loop.last }}
    {%- endfor %}
    from in_parts
    window of_conversion as (partition by conversion_number)

),

-- What all models have in common is worked out before there is a row for each of them.
described as (

    select
        shared.*,
        conversions.session_date,
        conversions.conversion_id,
        conversions.conversion_type,
        conversions.site_id,
        conversions.tenant_id,
        conversions.person_key,
        conversions.identity_id,
        conversions.status = 'refund' as is_refund,
        case
            when shared.touches > 0 then 'attributed'
            when conversions.conversion_type = 'install' then 'organic'
            else 'unattributed'
        end as status,
        -- Why a touch has a part in the conversion, or why none has, in words.
        case
            when conversions.conversion_type = 'install' then coalesce(shared.kind, 'install without a matching click')
            when shared.touches = 0
                then case when shared.kind = 'direct' then 'only direct visits' else 'no eligible touch' end
            else
                case
                    when shared.touches = 1 then 'only'
                    when shared.position = 1 then 'first of ' || shared.touches
                    when shared.position = shared.touches then 'last of ' || shared.touches
                    else shared.position || ' of ' || shared.touches
                end
                || case when shared.kind like '%impression' then ' impression' else ' touch' end
                || case when shared.touches = 1 then '' when shared.kind like '%impression' then 's' else 'es' end
                || case shared.kind
                    when 'touch' then ' within {{ within.click }}'
                    when 'retargeting' then ' of retargeting within {{ within.retargeting }}'
                    when 'impression' then ' within {{ within.impression }}, no click'
                    else ' of retargeting within {{ within.impression }}, no click'
                end
                || case
                    when shared.found > shared.touches then ', the first and the latest of ' || shared.found
                    else ''
                end
        end as reason,
        shared.touches > 0 and conversions.is_returning
        and {{ matches_any('retargeting_campaigns', 'campaign_regex', 'shared.campaign_id') }}
        and (conversions.conversion_type = 'install' or shared.kind like 'retargeting%') as is_reattribution,
        case when shared.touches > 0 then {{ campaign_key('shared') }} end as campaign_key
    from in_units as shared
    inner join {{ ref('int_attribution_conversions') }} as conversions
        on shared.conversion_number = conversions.conversion_number

)

select
    described.session_date,
    described.conversion_id,
    described.conversion_ts,
    described.conversion_type,
    described.site_id,
    described.tenant_id,
    described.person_key,
    described.identity_id,
    described.is_refund,
    models.model,
    described.touch_id,
    described.touch_type,
    described.touch_ts,
    cast(described.position as bigint) as position,
    cast(described.touches as bigint) as touches,
    cast(cast(
        case models.model
            {%- for model in shares %}
                when '{{ model }}' then described.{{ model }}_units
            {%- endfor %}
        end as decimal(18, 0)
    ) * 0.000000001 as decimal(18, 9)) as revenue_share,
    described.status,
    described.reason,
    described.is_reattribution,
    described.source,
    described.medium,
    described.channel,
    described.order_id,
    described.campaign_id,
    described.publication_code,
    described.creative_id,
    described.campaign_key
from described
cross join (
    values
    {%- for model in shares %}
        ('{{ model }}'){{ ',' if not loop.last }}
    {%- endfor %}
) as models (model)
