{# on-run-end: publishes what was built and passed its tests; the rest goes to quarantine, and the last good files
   stand. One file, one atomic put for each model and day: a run that dies in between has published some whole
   days, and the next run does the others. Which days are good is decided in planning/verdicts.py. #}

{% macro publish_lake(results) %}
  {% if execute and flags.WHICH in ('build', 'run') %}
    {% set found = [] %}
    {% for result in results if result.node %}
      {# dbt counts the rows that a test returns; `meta` of a test may tell the column that names them. #}
      {% set column = result.node.config.get('meta', {}).get('names') if result.failures %}
      {% set query = 'select ' ~ column ~ ' from (' ~ result.node.compiled_code ~ ') as failing limit 10' %}
      {% set names = run_query(query).columns[0].values() | join(', ') if column %}
      {% do found.append({
        'id': result.node.unique_id, 'name': result.node.name, 'status': result.status | string,
        'message': 'nothing matched ' ~ names if names else result.message, 'failures': result.failures,
        'seconds': result.execution_time
      }) %}
    {% endfor %}
    {% do planned() %}
    {% for judged in lake_answer('judge', {'results': found, 'empty': flags.EMPTY}) %}
      {% for warning in judged.warnings %}
        {% do exceptions.warn(warning) %}
      {% endfor %}
      {% set node = graph.nodes[judged.id] %}
      {% do stage_days(node, judged.paths, audit_relation(node)) if judged.paths %}
      {% set published = lake_answer('publish', {'id': judged.id}) %}
      {% do log(published.said, info=true) if published.said %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}
  {# A test with no more failing rows than a person has released does not stop its model: dbt warns, and builds the
     models below. A release is looked for only if a test fails, on the days in the plan. #}
  {% set tables = planned().judged.get(model.unique_id, []) %}
  select
    failures,
    should_warn,
    case
      when not should_error then false
      {% for table, days in tables %}
      when failures > lake_accepted('{{ model.name }}', '{{ table }}', '{{ days }}') then true
      {% endfor %}
      else {{ 'false' if tables else 'true' }}
    end as should_error
  from ({{ default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) }}) as judged
{% endmacro %}
