{% macro quoted_list(values) -%}
  {%- for value in values -%}
    '{{ value | string | replace("'", "''") }}'{{ ', ' if not loop.last }}
  {%- else -%}
    null
  {%- endfor -%}
{%- endmacro %}
