-- One row per conversion or refund, model and touch that shares it; one per model where no touch does. A refund has no
-- credit. Its revenue is negative, and shared as the conversion that it takes back; without one, by its own path.
{{ config(
    partition_by='session_date',
    sort_by=['site_id', 'conversion_ts', 'conversion_id', 'model', 'position'],
    neighbour_days=60,
    restates={'before': 1, 'after': 60},
    is_large=true
) }}

{%- set worth -%}
    cast(cast(abs(conversions.revenue) as decimal(38, 4)) * 10000 as hugeint)
{%- endset %}
{%- set worth_units = whole_quotient(
    worth ~ ' * cast(cast(of_paths.revenue_share as decimal(38, 9)) * 1000000000 as hugeint)', '1000000000'
) %}

with built as (

    select *
    from {{ ref('fact_conversions') }}
    where {{ in_built_days('attribution', 'session_date') }} and status <> 'copy'

),

-- Not there for a copy, a robot's conversion, and days that are not published. All models have the same conversions, so
-- one model's rows tell them.
taken_back as (

    select distinct
        of_paths.session_date,
        of_paths.conversion_id
    from {{ ref('attribution_shares') }} as of_paths
    where
        not of_paths.is_refund
        and of_paths.model = 'linear'
        and exists (
            select 1
            from built
            where built.status = 'refund' and built.names_conversion_id = of_paths.conversion_id
        )

),

conversions as (

    select
        built.*,
        coalesce(taken_back.session_date, built.session_date) as shares_date,
        coalesce(taken_back.conversion_id, built.conversion_id) as shares_id,
        taken_back.conversion_id is not null as takes_back,
        dense_rank() over (order by built.session_date, built.conversion_id) as conversion_number
    from built
    left join taken_back
        on built.status = 'refund' and built.names_conversion_id = taken_back.conversion_id

),

own as (

    select distinct
        session_date,
        conversion_id,
        identity_id
    from {{ ref('attribution_shares') }}
    where {{ in_built_days('attribution', 'session_date') }} and model = 'linear'

),

-- Numbers alone, because adding up whole rows costs five times as much.
given as (

    select
        conversions.conversion_number,
        of_paths.session_date,
        of_paths.conversion_id,
        of_paths.model,
        sum({{ worth_units }}) as given_units
    from conversions
    inner join {{ ref('attribution_shares') }} as of_paths
        on conversions.shares_date = of_paths.session_date and conversions.shares_id = of_paths.conversion_id
    group by conversions.conversion_number, of_paths.session_date, of_paths.conversion_id, of_paths.model

),

-- Revenue is shared in hundredths of a cent, rounded down; the last touch gets the remainder.
shared as (

    select
        conversions.session_date,
        conversions.conversion_id,
        conversions.conversion_ts,
        conversions.conversion_type,
        conversions.status = 'refund' as is_refund,
        conversions.takes_back,
        conversions.names_conversion_id,
        conversions.site_id,
        conversions.tenant_id,
        conversions.person_key,
        own.identity_id,
        conversions.revenue,
        conversions.currency,
        of_paths.model,
        of_paths.touch_id,
        of_paths.touch_type,
        of_paths.touch_ts,
        of_paths.position,
        of_paths.touches,
        of_paths.revenue_share,
        of_paths.status,
        of_paths.reason,
        of_paths.is_reattribution,
        of_paths.source,
        of_paths.medium,
        of_paths.channel,
        of_paths.order_id,
        of_paths.campaign_id,
        of_paths.publication_code,
        of_paths.creative_id,
        of_paths.campaign_key,
        case
            when of_paths.touches = 0 then {{ worth }}
            when of_paths.position = of_paths.touches
                then {{ worth }} - given.given_units + {{ worth_units }}
            else {{ worth_units }}
        end as revenue_units
    from conversions
    inner join own
        on conversions.session_date = own.session_date and conversions.conversion_id = own.conversion_id
    inner join {{ ref('attribution_shares') }} as of_paths
        on conversions.shares_date = of_paths.session_date and conversions.shares_id = of_paths.conversion_id
    inner join given
        on
            conversions.conversion_number = given.conversion_number
            -- All that the two have in common: joined by the model alone, they would be many more rows than either.
            and of_paths.session_date = given.session_date
            and of_paths.conversion_id = given.conversion_id
            and of_paths.model = given.model

)

select
    session_date,
    conversion_id,
    conversion_ts,
    conversion_type,
    is_refund,
    case when is_refund then names_conversion_id end as names_conversion_id,
    site_id,
    tenant_id,
    person_key,
    identity_id,
    model,
    touch_id,
    touch_type,
    touch_ts,
    position,
    touches,
    cast(case when is_refund then 0 else revenue_share end as decimal(18, 9)) as credit,
    revenue_share,
    cast(
        cast(case when revenue < 0 then -revenue_units else revenue_units end as decimal(22, 0))
        * 0.0001 as decimal(18, 4)
    ) as revenue,
    currency,
    status,
    case
        when takes_back then 'refund, as the conversion that it takes back: ' || reason
        when is_refund then 'refund, by its own path: ' || reason
        else reason
    end as reason,
    not is_refund and is_reattribution as is_reattribution,
    source,
    medium,
    channel,
    order_id,
    campaign_id,
    publication_code,
    creative_id,
    campaign_key
from shared
