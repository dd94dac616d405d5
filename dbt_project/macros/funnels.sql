{# The steps of funnels, from their seed, as SQL: constants of the query, as in channels.sql. #}

{% macro funnel_rules() %}
  {{ return(seed_rules('funnel_steps', order_by='funnel, cast(step as integer)')) }}
{% endmacro %}

{% macro is_funnel_step(event_type, path) -%}
  {# Whether an event can be a step of any funnel. #}
  {%- set steps = [] -%}
  {%- for rule in funnel_rules() -%}
    {%- do steps.append('(' ~ rule_holds(rule, {'event_type': event_type, 'path_regex': path}) ~ ')') -%}
  {%- endfor -%}
  ({{ steps | unique | join(' or ') or 'false' }})
{%- endmacro %}

{% macro funnel_steps_of(events, event_type, path) -%}
  {# The rows of a table of events, once for each step that they can be, with its funnel and number. #}
  {%- for rule in funnel_rules() %}
  select {{ events }}.*, {{ quoted_list([rule['funnel']]) }} as funnel, cast({{ rule['step'] }} as bigint) as step
  from {{ events }}
  where {{ rule_holds(rule, {'event_type': event_type, 'path_regex': path}) }}
  {{ 'union all' if not loop.last }}
  {%- else %}
  select {{ events }}.*, cast(null as varchar) as funnel, cast(null as bigint) as step from {{ events }} where false
  {%- endfor %}
{%- endmacro %}

{% macro most_funnel_steps() -%}
  {# Steps of the longest funnel. #}
  {{ funnel_rules() | map(attribute='step') | map('int') | max if funnel_rules() else 1 }}
{%- endmacro %}
