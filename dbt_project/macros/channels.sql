{# Where visitors come from. #}

{% macro bare_host(host) -%}
  regexp_replace(regexp_replace(lower({{ host }}), '[.]+$', ''), '^www[.]', '')
{%- endmacro %}

{% macro same_traffic_source(events) -%}
  {# int_traffic_sources has one row for each combination, a null being a value. #}
  {%- for column in ('utm_source', 'utm_medium', 'utm_campaign', 'click_id_kind', 'referrer_host', 'host') %}
  {{ 'and ' if not loop.first }}{{ events }}.{{ column }} is not distinct from int_traffic_sources.{{ column }}
  {%- endfor %}
{%- endmacro %}
