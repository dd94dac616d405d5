{# The rules of a seed as SQL.

   Rules become constants of the query, read from the table's file at compile time. An engine prepares a constant regular
   expression once, but one from a table again for every row, at a hundred times the cost. #}

{% macro first_rule(seed, result, conditions, otherwise) -%}
  case
    {%- for rule in seed_rules(seed) %}
    when {{ rule_holds(rule, conditions) }} then {{ quoted_list([rule[result]]) }}
    {%- else %}
    when false then null
    {%- endfor %}
    else '{{ otherwise }}'
  end
{%- endmacro %}

{% macro rule_holds(rule, conditions) %}
  {% set holding = [] %}
  {% for column, compared in conditions.items() if rule[column] %}
    {% do holding.append(
      matches(compared, quoted_list([rule[column]])) if column.endswith('_regex')
      else compared ~ ' = ' ~ quoted_list([rule[column]])
    ) %}
  {% endfor %}
  {{ return(holding | join(' and ') or 'true') }}
{% endmacro %}

{% macro seed_rules(seed, order_by='priority') %}
  {% if not execute %}
    {{ return([]) }}
  {% endif %}
  {{ return(run_query('select * from (' ~ table_file(seed) ~ ') as seed_rows order by ' ~ order_by).rows) }}
{% endmacro %}

{% macro seed_values(seed, column) %}
  {{ return(seed_rules(seed, order_by=column) | map(attribute=column) | select | unique(case_sensitive=true) | list) }}
{% endmacro %}

{% macro matches_any(seed, column, text) -%}
  {%- set holding = [] %}
  {%- for regex in seed_values(seed, column) %}
  {%- do holding.append(matches('lower(' ~ text ~ ')', quoted_list([regex]))) %}
  {%- endfor -%}
  coalesce({{ holding | join(' or ') or 'false' }}, false)
{%- endmacro %}

{% macro funnel_rules() %}
  {{ return(seed_rules('funnel_steps', order_by='funnel, step')) }}
{% endmacro %}
