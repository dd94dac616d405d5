{# Small pieces of SQL that more than one model needs. #}

{% macro quoted_list(values) -%}
  {# 'a', 'b' for an `in (…)`; null, which nothing equals, for an empty list. #}
  {%- for value in values -%}
    '{{ value | string | replace("'", "''") }}'{{ ', ' if not loop.last }}
  {%- else -%}
    null
  {%- endfor -%}
{%- endmacro %}

{% macro percentage(part, whole) -%}
  {# part / whole × 100, rounded half up to 2 digits; 0 without a whole. Whole numbers until the last step: binary
     fractions would round 1.005 down. #}
  case
    when {{ whole }} = 0 then cast(0 as double)
    else floor((20000 * {{ part }} + {{ whole }}) / (2 * {{ whole }})) / 100
  end
{%- endmacro %}

{% macro first_known(column, place, preferred='true') -%}
  {# Of the rows that know a column the first, those first for which a condition holds. Places are below 2^40. #}
  min_by({{ column }}, case when {{ column }} is not null then {{ place }} + case when {{ preferred }} then 0 else 1099511627776 end end)
{%- endmacro %}

{% macro last_known(column, place, preferred='true') -%}
  max_by({{ column }}, case when {{ column }} is not null then {{ place }} - case when {{ preferred }} then 0 else 1099511627776 end end)
{%- endmacro %}

{% macro seconds_between(earlier, later) -%}
  {# To the microsecond; Spark calls it unix_micros. #}
  ((epoch_us({{ later }}) - epoch_us({{ earlier }})) / 1000000.0)
{%- endmacro %}

{% macro session_measures() -%}
  {# What is counted of a group of rows of `sessions`. A mean of exact numbers is the same in any order of rows. #}
  count(distinct visitor_key) as visitors,
  count(case when is_new_visitor then 1 end) as new_visitors,
  count(*) as sessions,
  cast(sum(page_views) as bigint) as page_views,
  cast(sum(events) as bigint) as events,
  count(case when is_bounce then 1 end) as bounces,
  {{ percentage('count(case when is_bounce then 1 end)', 'count(*)') }} as bounce_rate,
  count(case when is_engaged then 1 end) as engaged_sessions,
  {{ percentage('count(case when is_engaged then 1 end)', 'count(*)') }} as engagement_rate,
  round(cast(sum(cast(duration_seconds as decimal(18, 6))) as double) / count(*), 3) as average_duration_seconds,
  cast(sum(conversions) as bigint) as conversions,
  {{ sum_of_one_currency('revenue', 'currency') }} as revenue,
  {{ one_currency('revenue', 'currency') }} as currency
{%- endmacro %}

{% macro sum_of_one_currency(amount, currency) -%}
  {# The sum of a group's amounts; null without any, and where they are in more than one currency: unlike currencies
     cannot be added up, and an unknown one is unlike any other. #}
  case
    when count(distinct case when {{ amount }} is not null then coalesce({{ currency }}, '') end) <= 1
      then cast(sum({{ amount }}) as decimal(18, 4))
  end
{%- endmacro %}

{% macro one_currency(amount, currency) -%}
  {# The currency of that sum. #}
  case
    when count(distinct case when {{ amount }} is not null then coalesce({{ currency }}, '') end) <= 1
      then max(case when {{ amount }} is not null then {{ currency }} end)
  end
{%- endmacro %}

{% macro ratio(part, whole) -%}
  {# part / whole, rounded to 4 digits; null without a whole. A double, for a whole may be a billionth. #}
  round(cast({{ part }} as double) / nullif(cast({{ whole }} as double), 0), 4)
{%- endmacro %}

{% macro campaign_parts() -%}
  {# What a campaign is known by, a null being a value like any other. #}
  order_id, campaign_id, publication_code, creative_id, channel
{%- endmacro %}

{% macro campaign_key(table) -%}
  {# MD5 of the parts of a campaign. Each goes in with its length, so that no two campaigns are spelled alike. #}
  md5(
    {%- for part in campaign_parts().split(', ') %}
    coalesce(cast(length({{ table }}.{{ part }}) as varchar) || ':' || {{ table }}.{{ part }}, '-')
    {{- ' ||' if not loop.last }}
    {%- endfor %}
  )
{%- endmacro %}

{% macro campaign_of_visit(visits, ads) -%}
  {# The parts of the campaign that led to a visit: of one behind a click on an ad as the ad has them, null or not, so that
     they meet the ad's other numbers; of others what the link names, and the channel. A link within the site, whose
     source is `(direct)`, names none. #}
  case when {{ ads }}.session_id is null then {{ visits }}.channel else {{ ads }}.channel end as channel,
  case
    when {{ ads }}.session_id is not null then {{ ads }}.order_id
    when {{ visits }}.click_id_kind = 'oid' and coalesce({{ visits }}.source, '') <> '(direct)' then {{ visits }}.click_id
  end as order_id,
  case
    when {{ ads }}.session_id is not null then {{ ads }}.campaign_id
    when coalesce({{ visits }}.source, '') <> '(direct)' then {{ visits }}.utm_campaign
  end as campaign_id,
  {{ ads }}.publication_code,
  {{ ads }}.creative_id
{%- endmacro %}

{% macro same_campaign(left, right) -%}
  {# Whether two rows are of the same day and campaign. #}
  {{ left }}.report_date = {{ right }}.report_date
  {%- for part in campaign_parts().split(', ') %}
  and {{ left }}.{{ part }} is not distinct from {{ right }}.{{ part }}
  {%- endfor %}
{%- endmacro %}

{% macro attribution_models() -%}
  {# All of them, as rows of a `values`. #}
  ('first'), ('last'), ('last_non_direct'), ('linear'), ('position_based'), ('time_decay'), ('shapley')
{%- endmacro %}

{% macro host_of(url) -%}
  {# Host of a web address, in lower case, without port; empty where it is none. #}
  lower(regexp_extract({{ url }}, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1))
{%- endmacro %}

{% macro bare_host(host) -%}
  {# In lower case, without www. and a dot at its end: what makes no other host of it. #}
  regexp_replace(regexp_replace(lower({{ host }}), '[.]+$', ''), '^www[.]', '')
{%- endmacro %}

{% macro same_traffic_source(events) -%}
  {# Whether a row of int_traffic_sources is about an event: it has one for each combination, a null being a value. #}
  {%- for column in ('utm_source', 'utm_medium', 'utm_campaign', 'click_id_kind', 'referrer_host', 'host') %}
  {{ 'and ' if not loop.first }}{{ events }}.{{ column }} is not distinct from int_traffic_sources.{{ column }}
  {%- endfor %}
{%- endmacro %}

{% macro person_key(user_id, visitor_key, is_bot) -%}
  {# What a session's person is looked up by in identity_map: the user who is logged in, else the visitor. Robots are no
     people, and neither is an event of which nothing is known. #}
  case
    when {{ is_bot }} then null
    when {{ user_id }} is not null then 'user:' || {{ user_id }}
    when {{ visitor_key }} not like 'event:%' then {{ visitor_key }}
  end
{%- endmacro %}

{% macro kinds_of_touches() -%}
  {# What touches count as, and how far back; of the kinds that a conversion has touches of, the first has it. Retargeting
     has a returning person's conversion to itself, and impressions have one where there is no click and no visit. #}
  (
    values
    ('retargeting', 1, interval '{{ var("attribution_reattribution_seconds") }}' second),
    ('touch', 2, interval '{{ var("attribution_click_seconds") }}' second),
    ('retargeting impression', 3, interval '{{ var("attribution_impression_seconds") }}' second),
    ('impression', 4, interval '{{ var("attribution_impression_seconds") }}' second),
    ('direct', 5, interval '{{ var("attribution_click_seconds") }}' second)
  ) as kinds (kind, choice, span)
{%- endmacro %}

{% macro days_of(seconds) -%}
  {# So many dates may lie between a touch's and a conversion's: an event's is that of its session. #}
  {{ return(((seconds | int + 86399) / 86400) | int + 1) }}
{%- endmacro %}

{% macro duration_in_words(seconds) -%}
  {%- set seconds = seconds | int -%}
  {%- if seconds % 86400 == 0 and seconds > 86400 -%}
    {{ (seconds / 86400) | int }} days
  {%- elif seconds % 3600 == 0 and seconds > 3600 -%}
    {{ (seconds / 3600) | int }} hours
  {%- else -%}
    {{ seconds }} seconds
  {%- endif -%}
{%- endmacro %}

{% macro channel_priority(channel) -%}
  {# Place of a channel in `attribution_channel_priority`; what is not listed comes after. #}
  {%- set listed = var('attribution_channel_priority') -%}
  {%- if listed -%}
    case {{ channel }}
      {%- for each in listed %}
      when {{ quoted_list([each]) }} then {{ loop.index }}
      {%- endfor %}
      else {{ listed | length + 1 }}
    end
  {%- else -%}
    0
  {%- endif -%}
{%- endmacro %}

{% macro microseconds(time) -%}
  {# A time as a whole number of microseconds, as text; Spark calls it unix_micros. #}
  cast(epoch_us({{ time }}) as varchar)
{%- endmacro %}

{% macro event_key(events) -%}
  {# MD5 of what tells an event from all others: the same id at another time is another event. #}
  md5(coalesce({{ events }}.site_id, '') || '|' || {{ microseconds(events ~ '.event_ts') }} || '|' || {{ events }}.event_id)
{%- endmacro %}

{% macro same_event(one, other) -%}
  {# Whether two rows are about one event. #}
  {{ one }}.event_id = {{ other }}.event_id
  and {{ one }}.event_ts = {{ other }}.event_ts
  and {{ one }}.site_id is not distinct from {{ other }}.site_id
{%- endmacro %}

{% macro identity_id(node_key) -%}
  {# The id of the identity that is named for a node. #}
  md5('identity:' || {{ node_key }})
{%- endmacro %}

{% macro path_node(person_key, session_id) -%}
  {# Whom a touch or a conversion belongs to: the person, else nobody but its session. #}
  coalesce({{ person_key }}, 'session:' || {{ session_id }})
{%- endmacro %}

{% macro attribution_reason() -%}
  {# Why a touch has a part in a conversion, or why none has, in words; of a row of `shared` in the model attribution. #}
  case
    when conversions.conversion_type = 'install' then coalesce(shared.kind, 'install without a matching click')
    when shared.touches = 0 then case when shared.kind = 'direct' then 'only direct visits' else 'no eligible touch' end
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
        when 'touch' then ' within {{ duration_in_words(var("attribution_click_seconds")) }}'
        when 'retargeting' then ' of retargeting within {{ duration_in_words(var("attribution_reattribution_seconds")) }}'
        when 'impression' then ' within {{ duration_in_words(var("attribution_impression_seconds")) }}, no click'
        else ' of retargeting within {{ duration_in_words(var("attribution_impression_seconds")) }}, no click'
      end
      || case
        when shared.found > shared.touches then ', the first and the latest of ' || shared.found
        else ''
      end
  end
{%- endmacro %}

{% macro install_evidence(row, fifth, sixth) -%}
  {# What a click and an install must have in common, by number of the kind of evidence. Ids of an ad, which all of its
     clicks carry, are no ids of a click. #}
  case kinds.kind
    when 1 then
      case
        when {{ row }}.click_id_kind <> 'oid'
          then lower({{ row }}.click_id_kind) || '=' || {{ row }}.click_id
      end
    when 2 then {{ row }}.device_id
    when 3 then {{ row }}.advertising_id
    when 4 then {{ row }}.device_fingerprint || '@' || {{ row }}.subnet_hash
    when 5 then case when {{ fifth }} then {{ row }}.ip_hash || '|' || {{ row }}.user_agent end
    else case when {{ sixth }} then {{ row }}.ip_hash || '|' || {{ row }}.user_agent end
  end
{%- endmacro %}

{% macro request_reason() -%}
  {# Why an ad request is not valid, by itself; null where nothing speaks against it. #}
  case
    when status >= {{ var('ivt_invalid_status_from') }} then 'status'
    when upper(method) <> 'GET' then 'method'
    -- A mail's reader is shown the pictures that a proxy fetches; a proxy that follows a link looks for malware.
    when is_bot and not (request_type = 'impression' and coalesce(device_category, '') = 'mail') then 'bot'
  end
{%- endmacro %}

{% macro is_of_robot(events) -%}
  {# Whether an event is a robot's. A library, a webhook or a mail program is no visitor's browser, and no robot either:
     with it a shop's server reports what a visitor did. #}
  {{ events }}.is_bot and coalesce({{ events }}.device_category, 'bot') = 'bot'
{%- endmacro %}

{% macro is_sent_by_server(events) -%}
  {# Whether an event was sent by a server: its device, address and place are not the visitor's. #}
  coalesce({{ events }}.device_category in ('program', 'mail'), false)
{%- endmacro %}

{% macro known_of_visitor(column) -%}
  {# What an event of stg_events says of its visitor's address or place; null where it is a server's. By it, all visitors
     that a server reports on would be one. #}
  case when not {{ is_sent_by_server('stg_events') }} then stg_events.{{ column }} end as {{ column }}
{%- endmacro %}
