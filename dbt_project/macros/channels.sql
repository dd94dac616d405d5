{# Rules that stand in a seed, as SQL.

   They become constants of the query, read from the seed's own file when it is compiled: an engine prepares a constant
   regular expression once, and one that comes from a table again for every row, at a hundred times the cost. #}

{% macro first_rule(seed, result, conditions, otherwise) -%}
  {# The column `result` of the first rule of a seed, by priority, whose conditions all hold, else `otherwise`.
     `conditions` says what SQL each column of conditions is compared with: columns named `…_regex` are searched for,
     others equal. A rule's empty condition always holds. #}
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

{% macro seed_rules(seed, order_by='cast(priority as integer)') %}
  {# The rows of a seed's file, by priority. #}
  {% if not execute %}
    {{ return([]) }}
  {% endif %}
  {% set path = 'seeds/' ~ seed ~ '.csv' %}
  {{ return(run_query('select * from ' ~ text_file(path) ~ ' order by ' ~ order_by).rows) }}
{% endmacro %}

{% macro seed_values(seed, column) %}
  {# The values of a column of a seed's file, each once. #}
  {{ return(seed_rules(seed, order_by=column) | map(attribute=column) | select | unique(case_sensitive=true) | list) }}
{% endmacro %}

{% macro matches_any(seed, column, text) -%}
  {# Whether any of a seed's regular expressions finds something in a text, in lower case; an unknown text has nothing. #}
  {%- set holding = [] %}
  {%- for regex in seed_values(seed, column) %}
  {%- do holding.append(matches('lower(' ~ text ~ ')', quoted_list([regex]))) %}
  {%- endfor -%}
  coalesce({{ holding | join(' or ') or 'false' }}, false)
{%- endmacro %}

{% macro text_file(path) %}
  {{ return(adapter.dispatch('text_file', 'clicklake')(path)) }}
{% endmacro %}

{% macro duckdb__text_file(path) %}
  {# A CSV file below the project's folder as a table of texts, empty ones null. Nothing about it is guessed: regular
     expressions look like other separators. #}
  {{ return("read_csv(" ~ quoted_list([path]) ~ ", header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"')") }}
{% endmacro %}

{% macro matches(text, regex) %}
  {{ return(adapter.dispatch('matches', 'clicklake')(text, regex)) }}
{% endmacro %}

{% macro duckdb__matches(text, regex) %}
  {# Whether a text holds what a regular expression describes, anywhere unless the expression is anchored. #}
  {{ return('regexp_matches(' ~ text ~ ', ' ~ regex ~ ')') }}
{% endmacro %}
