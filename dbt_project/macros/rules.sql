{# The rules in force, from the plan: `ingest/rules/` reads and checks them. They are not dbt's variables, because dbt
   parses the whole project again when a variable changes. #}

{% macro rule(name) %}
  {% if not execute %}
    {# No model's parents or configuration depend on a value; `1` passes for a number, a text and a list. #}
    {{ return('1') }}
  {% endif %}
  {% set rules = planned().rules %}
  {% if name not in rules %}
    {% do exceptions.raise_compiler_error('There is no variable ' ~ name ~ ' in ingest/rules/variables.py') %}
  {% endif %}
  {# A unit test overrides variables, and knows no graph. #}
  {{ return(rules[name] if graph.nodes else var(name, rules[name])) }}
{% endmacro %}

{% macro table_file(name) %}
  {% set table = planned().tables[name] %}
  {% do exceptions.raise_compiler_error(table.error) if table.error %}
  {{ return(files_query([table.file])) }}
{% endmacro %}

{% macro is_own(name) %}
  {{ return('true' if execute and planned().tables[name].is_own else 'false') }}
{% endmacro %}

{% materialization seed, adapter='duckdb' %}
  {# The rows in force, which the plan gives with their types. dbt would read the project's own file. #}
  {% do store_result('agate_table', response='OK') %}  {# dbt asks for it after each seed #}
  {{ run_hooks(pre_hooks) }}
  {% set relation = this.incorporate(type='table') %}
  {% call statement('main') %}
    create or replace table {{ relation }} as {{ table_file(model.name) }}
  {% endcall %}
  {{ run_hooks(post_hooks) }}
  {{ adapter.commit() }}
  {{ return({'relations': [relation]}) }}
{% endmaterialization %}
