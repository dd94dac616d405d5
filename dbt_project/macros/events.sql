{# Events, and who sent them. #}

{% macro event_key(events) -%}
  {# The same id at another time is another event. Spark calls epoch_us unix_micros. #}
  md5(
    coalesce({{ events }}.site_id, '') || '|' || cast(epoch_us({{ events }}.event_ts) as varchar)
    || '|' || {{ events }}.event_id
  )
{%- endmacro %}

{% macro same_event(one, other) -%}
  {{ one }}.event_id = {{ other }}.event_id
  and {{ one }}.event_ts = {{ other }}.event_ts
  and {{ one }}.site_id is not distinct from {{ other }}.site_id
{%- endmacro %}

{% macro is_sent_by_server(events) -%}
  coalesce({{ events }}.device_category in ('program', 'mail'), false)
{%- endmacro %}

{% macro is_robot(events) -%}
  {# A library, a webhook or a mail program is neither a visitor's browser nor a robot: a shop's server uses it to report
     what a visitor did. #}
  ({{ events }}.is_bot and coalesce({{ events }}.device_category, 'bot') = 'bot')
{%- endmacro %}

{% macro known_of_visitor(column) -%}
  {# With the server's address and place, all visitors that it reports would look like one. #}
  case when not {{ is_sent_by_server('stg_events') }} then stg_events.{{ column }} end as {{ column }}
{%- endmacro %}

{% macro one_tenant(tenant_id) -%}
  {# Rows of two tenants belong to neither: one late event must not hand a site's day to another tenant. #}
  case when count(distinct coalesce({{ tenant_id }}, '')) = 1 then max({{ tenant_id }}) end
{%- endmacro %}
