{# People. #}

{% macro person_key(user_id, visitor_key, is_bot) -%}
  {# Robots are no people, and an event without any id belongs to no known person. #}
  case
    when {{ is_bot }} then null
    when {{ user_id }} is not null then 'user:' || {{ user_id }}
    when {{ visitor_key }} not like 'event:%' then {{ visitor_key }}
  end
{%- endmacro %}

{% macro identity_id(node_key) -%}
  md5('identity:' || {{ node_key }})
{%- endmacro %}
