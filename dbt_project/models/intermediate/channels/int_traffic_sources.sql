-- One row per distinct combination of the events' columns about where the visitor came from (null is a value of its
-- own), with its source, medium and channel. docs/channels.md explains the rules.
-- depends_on: {{ ref('channel_rules') }}

-- A day has few combinations and many events, so every step below works on combinations.
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
        nullif(trim(lower(utm_campaign)), '') as campaign,
        {{ bare_host('host') }} as own_host,
        nullif({{ bare_host('referrer_host') }}, '') as referring_host
    from combinations

),

-- The source is named by the link's tags, else its click id, else a referrer that is not the site itself, else a
-- campaign alone. A link within the site names no source.
named as (

    select
        cleaned.*,
        case
            when cleaned.referring_host = cleaned.own_host then 'nothing'
            when coalesce(cleaned.tagged_source, cleaned.tagged_medium) is not null then 'tags'
            -- Behind a passage it is the number of an order, to which the shop's address of return gave the same name.
            when lower(cleaned.click_id_kind) = 'oid' then 'own_link'
            when click_ids.click_id_kind is not null then 'click_id'
            when
                cleaned.referring_host not like '%.' || cleaned.own_host
                and cleaned.own_host not like '%.' || cleaned.referring_host
                then 'referrer'
            when cleaned.referring_host is not null and cleaned.own_host is null then 'referrer'
            else 'nothing'
        end as named_by,
        click_ids.source as click_source,
        click_ids.medium as click_medium
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
            when 'own_link' then coalesce(referring_host, '(direct)')
            else '(direct)'
        end as named_source
    from named

),

-- Sites whose referrals are no source stand in one list with the sites that are sources; the longest match in both
-- counts.
sites as (

    select
        site,
        source,
        medium,
        category,
        false as is_passage
    from {{ ref('traffic_sources') }}

    union all

    select
        site,
        null as source,
        null as medium,
        null as category,
        true as is_passage
    from {{ ref('passages') }}

),

-- A host is also looked for with its public ending, such as .de or .co.uk, as `.*`.
spellings as (

    select
        named_source,
        named_by,
        named_source as spelling
    from sourced

    union

    select
        named_source,
        named_by,
        regexp_replace(named_source, '[.](com?[.])?[a-z]{2,3}$', '.*') as spelling
    from sourced

),

-- A site includes its subdomains, and the longest match counts. A bare name matches only itself: blog.google is no
-- search engine.
fitting_sites as (

    select
        spellings.named_source,
        spellings.named_by,
        sites.source,
        sites.medium,
        sites.category,
        sites.is_passage,
        row_number() over (
            partition by spellings.named_source, spellings.named_by
            order by length(sites.site) desc, sites.is_passage desc, sites.site asc
        ) as fit
    from spellings
    inner join sites
        on
            (
                spellings.spelling = sites.site
                or (sites.site like '%.%' and spellings.spelling like '%.' || sites.site)
            )
            and (spellings.named_by in ('referrer', 'own_link') or not sites.is_passage)

),

known as (

    select
        sourced.*,
        fitting_sites.source as known_source,
        fitting_sites.medium as known_medium,
        case when sourced.named_by <> 'own_link' then fitting_sites.category end as source_category,
        coalesce(fitting_sites.is_passage, false) as is_passage,
        -- Within the site a campaign is one of its own banners.
        sourced.campaign is not null
        and coalesce(sourced.referring_host <> sourced.own_host, true) as has_campaign
    from sourced
    left join fitting_sites
        on
            sourced.named_source = fitting_sites.named_source
            and sourced.named_by = fitting_sites.named_by
            and fitting_sites.fit = 1

),

sources as (

    select
        utm_source,
        utm_medium,
        utm_campaign,
        click_id_kind,
        referrer_host,
        host,
        case
            when named_by in ('tags', 'click_id') then named_source
            when named_by = 'own_link' and not is_passage then click_source
            when named_by = 'referrer' and not is_passage then coalesce(known_source, named_source)
            when has_campaign then '(not set)'
            else '(direct)'
        end as session_source,
        case
            when named_by = 'tags' then coalesce(tagged_medium, '(not set)')
            when named_by = 'click_id' or (named_by = 'own_link' and not is_passage) then click_medium
            when named_by = 'referrer' and not is_passage then coalesce(known_medium, 'referral')
            when has_campaign then '(not set)'
            else '(none)'
        end as session_medium,
        source_category,
        case when has_campaign then campaign end as campaign,
        is_passage and not has_campaign as is_return
    from known

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
    session_source <> '(direct)' as has_source,
    is_return
from sources
