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

{% macro first_known(column, place) -%}
  min_by({{ column }}, case when {{ column }} is not null then {{ place }} end)
{%- endmacro %}

{% macro last_known(column, place) -%}
  max_by({{ column }}, case when {{ column }} is not null then {{ place }} end)
{%- endmacro %}

{% macro seconds_between(earlier, later) -%}
  {# To the microsecond; Spark calls it unix_micros. #}
  ((epoch_us({{ later }}) - epoch_us({{ earlier }})) / 1000000.0)
{%- endmacro %}
