-- One row per conversion and touch that shares it, in the order of time; one row without a touch if no touch does.
{%- set most = [rule('attribution_max_touches') | int, 2] | max %}

with conversions as (

    select *
    from {{ ref('int_attribution_conversions') }}
    where conversion_type <> 'install'

),

known as (

    select distinct
        path_number,
        kind
    from {{ ref('int_attribution_touches') }}

),

asked as (

    select
        conversions.conversion_number,
        conversions.path_number,
        conversions.conversion_ts,
        kinds.kind,
        kinds.span
    from conversions
    inner join known
        on conversions.path_number = known.path_number
    inner join {{ kinds_of_touches() }}
        on known.kind = kinds.kind
    where conversions.is_returning or known.kind not like 'retargeting%'

),

begun as (

    select distinct
        path_number,
        'session:' || session_id as touch_id,
        conversion_ts
    from conversions

),

-- The beginning and the end of each conversion's window stand among the touches of its path in the order of time. So
-- what lies between them is counted in one pass: pairs of touches and conversions could be many more than either.
-- A touch at the very beginning or end is within, but for a direct visit that begins with a conversion: it comes after
-- that conversion, for which it is no touch, and before all later ones.
moments as (

    select
        touches.path_number,
        touches.kind,
        touches.touch_ts as moment,
        case when begun.touch_id is null then 1 else 3 end as moment_kind,
        touches.priority,
        touches.touch_id,
        touches.touch_date,
        touches.is_direct,
        cast(null as bigint) as conversion_number
    from {{ ref('int_attribution_touches') }} as touches
    left join begun
        on
            touches.path_number = begun.path_number
            and touches.touch_id = begun.touch_id
            and touches.touch_ts = begun.conversion_ts
            and touches.is_direct

    union all

    select
        asked.path_number,
        asked.kind,
        asked.conversion_ts - case when ends.moment_kind = 0 then asked.span else interval '0' second end as moment,
        ends.moment_kind,
        null as priority,
        null as touch_id,
        null as touch_date,
        null as is_direct,
        asked.conversion_number
    from asked
    cross join (values (0), (2)) as ends (moment_kind)

),

placed as (

    select
        *,
        count(case when moment_kind in (1, 3) then 1 end) over (
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
    where moment_kind in (0, 2)
    group by conversion_number, path_number, kind
    having max(place) > min(place)

),

chosen as (

    select
        counted.*,
        counted.last_place - counted.place_before as found,
        row_number() over (partition by counted.conversion_number order by kinds.choice) as choice
    from counted
    inner join {{ kinds_of_touches() }}
        on counted.kind = kinds.kind

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
            and placed.moment_kind in (1, 3)

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

-- Only the click that led to an install shares it.
select
    installs.conversion_number,
    clicks.evidence as kind,
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
