-- One row per conversion and touch that has a part in it, in the order of time; one row without a touch where none has.
{%- set windows = {
    'touch': var('attribution_click_seconds'),
    'retargeting': var('attribution_reattribution_seconds'),
    'impression': var('attribution_impression_seconds'),
    'retargeting impression': var('attribution_impression_seconds'),
    'direct': var('attribution_click_seconds')
} %}
{%- set most = [var('attribution_max_touches') | int, 2] | max %}

with conversions as (

    select *
    from {{ ref('int_attribution_conversions') }}
    where conversion_type <> 'install'

),

-- The beginning and the end of each conversion's window stand among the touches of its path in the order of time. So
-- what lies between them is counted in one pass: pairs of touches and conversions could be many more than either.
-- A touch at the very beginning or end is within.
moments as (

    select
        path_number,
        kind,
        touch_ts as moment,
        1 as moment_kind,
        priority,
        touch_id,
        touch_date,
        is_direct,
        cast(null as bigint) as conversion_number
    from {{ ref('int_attribution_touches') }}
    {%- for moment_kind, is_beginning in ((0, true), (2, false)) %}

    union all

    select
        conversions.path_number,
        kinds.kind,
        conversions.conversion_ts
        {%- if is_beginning %} - case kinds.kind
            {%- for kind, seconds in windows.items() %}
            when '{{ kind }}' then interval '{{ seconds }}' second
            {%- endfor %}
        end
        {%- endif %} as moment,
        {{ moment_kind }} as moment_kind,
        null as priority,
        null as touch_id,
        null as touch_date,
        null as is_direct,
        conversions.conversion_number
    from conversions
    inner join (
        select distinct
            path_number,
            kind
        from {{ ref('int_attribution_touches') }}
    ) as kinds
        on conversions.path_number = kinds.path_number
    where conversions.is_returning or kinds.kind not like 'retargeting%'
    {%- endfor %}

),

placed as (

    select
        *,
        count(case when moment_kind = 1 then 1 end) over (
            partition by path_number, kind
            order by moment, moment_kind, priority, touch_date, touch_id, conversion_number
            rows between unbounded preceding and current row
        ) as place
    from moments

),

counted as (

    select
        conversion_number,
        path_number,
        kind,
        min(place) as place_before,
        max(place) as last_place
    from placed
    where moment_kind <> 1
    group by conversion_number, path_number, kind
    having max(place) > min(place)

),

-- Retargeting has a returning person's conversion to itself; impressions have one where there is no click and no visit.
chosen as (

    select
        *,
        last_place - place_before as found,
        row_number() over (
            partition by conversion_number
            order by case kind
                when 'retargeting' then 1
                when 'touch' then 2
                when 'retargeting impression' then 3
                when 'impression' then 4
                else 5
            end
        ) as choice
    from counted

),

wanted_places as (

    select
        conversion_number,
        path_number,
        kind,
        found,
        least(found, {{ most }}) as touches,
        place_before + 1 as place,
        1 as position
    from chosen
    where choice = 1 and kind <> 'direct'

    union all

    select
        conversion_number,
        path_number,
        kind,
        found,
        touches,
        place,
        place - last_place + touches as position
    from (
        select
            *,
            least(found, {{ most }}) as touches,
            {{ each_number('last_place - least(found, ' ~ most ~ ') + 2', 'last_place') }} as place
        from chosen
        where choice = 1 and kind <> 'direct'
    ) as latest

),

shared as (

    select
        wanted_places.conversion_number,
        wanted_places.kind,
        wanted_places.found,
        wanted_places.touches,
        wanted_places.position,
        placed.touch_date,
        placed.touch_id,
        placed.moment as touch_ts,
        placed.is_direct
    from wanted_places
    inner join placed
        on
            wanted_places.path_number = placed.path_number
            and wanted_places.kind = placed.kind
            and wanted_places.place = placed.place
            and placed.moment_kind = 1

)

select
    conversions.conversion_number,
    coalesce(shared.kind, only_direct.kind) as kind,
    coalesce(shared.found, 0) as found,
    coalesce(shared.touches, 0) as touches,
    shared.position,
    shared.touch_date,
    shared.touch_id,
    shared.touch_ts,
    shared.is_direct
from conversions
left join shared
    on conversions.conversion_number = shared.conversion_number
left join chosen as only_direct
    on
        conversions.conversion_number = only_direct.conversion_number
        and only_direct.choice = 1
        and only_direct.kind = 'direct'

union all

-- An install has the one click that led to it.
select
    installs.conversion_number,
    clicks.match as kind,
    case when clicks.touch_id is null then 0 else 1 end as found,
    case when clicks.touch_id is null then 0 else 1 end as touches,
    case when clicks.touch_id is not null then 1 end as position,
    clicks.touch_date,
    clicks.touch_id,
    clicks.touch_ts,
    false as is_direct
from {{ ref('int_attribution_conversions') }} as installs
left join {{ ref('int_attribution_installs') }} as clicks
    on installs.conversion_number = clicks.conversion_number
where installs.conversion_type = 'install'
