-- One row per distinct combination of what events say of where their visitor came from, a null being a value like any
-- other, with its source, medium and channel. docs/channels.md explains the rules.
-- depends_on: {{ ref('channel_rules') }}

-- Days have few combinations and many events: nothing below is done for each event.
with combinations as (

    select distinct
        utm_source,
        utm_medium,
        utm_campaign,
        click_id_kind,
        referrer_host,
        host
    from {{ ref('stg_events') }}

),

cleaned as (

    select
        *,
        nullif(trim(lower(utm_source)), '') as tagged_source,
        nullif(trim(lower(utm_medium)), '') as tagged_medium,
        regexp_replace(lower(host), '^www[.]', '') as own_host,
        nullif(regexp_replace(lower(referrer_host), '^www[.]', ''), '') as referring_host
    from combinations

),

-- What names the source: the link's tags, else its click id, else a referrer that is not the site itself.
named as (

    select
        cleaned.utm_source,
        cleaned.utm_medium,
        cleaned.utm_campaign,
        cleaned.click_id_kind,
        cleaned.referrer_host,
        cleaned.host,
        case
            when coalesce(cleaned.tagged_source, cleaned.tagged_medium) is not null then 'tags'
            when click_ids.click_id_kind is not null then 'click_id'
            when
                cleaned.referring_host = cleaned.own_host
                or cleaned.referring_host like '%.' || cleaned.own_host
                or cleaned.own_host like '%.' || cleaned.referring_host
                then 'nothing'
            when cleaned.referring_host is not null then 'referrer'
            else 'nothing'
        end as named_by,
        cleaned.tagged_source,
        cleaned.tagged_medium,
        click_ids.source as click_source,
        click_ids.medium as click_medium,
        cleaned.referring_host
    from cleaned
    left join {{ ref('click_ids') }} as click_ids
        on lower(cleaned.click_id_kind) = click_ids.click_id_kind

),

sourced as (

    select
        *,
        case named_by
            when 'tags' then coalesce(tagged_source, '(not set)')
            when 'click_id' then click_source
            when 'referrer' then referring_host
            else '(direct)'
        end as named_source
    from named

),

-- A host is also looked for with its public ending, such as .de or .co.uk, as `.*`.
spellings as (

    select
        named_source,
        named_source as spelling
    from sourced

    union

    select
        named_source,
        regexp_replace(named_source, '[.](com?[.])?[a-z]{2,3}$', '.*') as spelling
    from sourced

),

-- A site stands for its subdomains too, and the longest one that fits is meant. A bare name stands for itself alone:
-- blog.google is no search engine.
fitting_sites as (

    select
        spellings.named_source,
        sites.source,
        sites.medium,
        sites.category,
        row_number() over (
            partition by spellings.named_source
            order by length(sites.site) desc, sites.site
        ) as fit
    from spellings
    inner join {{ ref('traffic_sources') }} as sites
        on
            spellings.spelling = sites.site
            or (sites.site like '%.%' and spellings.spelling like '%.' || sites.site)

),

sources as (

    select
        sourced.utm_source,
        sourced.utm_medium,
        sourced.utm_campaign,
        sourced.click_id_kind,
        sourced.referrer_host,
        sourced.host,
        case
            when sourced.named_by = 'referrer' then coalesce(known.source, sourced.named_source)
            else sourced.named_source
        end as session_source,
        case sourced.named_by
            when 'tags' then coalesce(sourced.tagged_medium, '(not set)')
            when 'click_id' then sourced.click_medium
            when 'referrer' then coalesce(known.medium, 'referral')
            else '(none)'
        end as session_medium,
        known.category as source_category,
        lower(sourced.utm_campaign) as campaign
    from sourced
    left join fitting_sites as known
        on sourced.named_source = known.named_source and known.fit = 1

)

select
    utm_source,
    utm_medium,
    utm_campaign,
    click_id_kind,
    referrer_host,
    host,
    session_source,
    session_medium,
    {{ first_rule('channel_rules', 'channel', {
        'source_category': 'source_category',
        'source_regex': 'session_source',
        'medium_regex': 'session_medium',
        'campaign_regex': 'campaign',
    }, otherwise='Unassigned') }} as channel,
    session_source <> '(direct)' as has_source
from sources
