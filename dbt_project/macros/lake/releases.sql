{# A test that fails no more than what a person has released does not stop its model: dbt then warns, and builds what
   lies below. Only where a test fails is a release looked for, and only of a window of one day: of several, nobody could
   tell whether the failing rows are those that were released. Whoever runs windows halves what was refused. #}

{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}
  {% set tables = tables_judged_by(model) %}
  select
    failures,
    should_warn,
    case
      when not should_error then false
      {% for node in tables %}
      {% set days = built_days(node) if window_days() | length == 1 else [] %}
      when failures > lake_accepted('{{ model.name }}', '{{ node.name }}', '{{ days | join(' ') }}') then true
      {% endfor %}
      else {{ 'false' if tables else 'true' }}
    end as should_error
  from ({{ default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) }}) as judged
{% endmacro %}

{% macro tables_judged_by(test) %}
  {# The lake_tables that a test may stop: of those that it reads, the ones that no other of them is made from
     (`blocking_tests`, seen from the test). #}
  {% set read = [] %}
  {% for id in test.depends_on.nodes if id in graph.nodes and is_lake_table(graph.nodes[id]) %}
    {% do read.append(id) %}
  {% endfor %}
  {% set above = [] %}
  {% for id in read if read | length > 1 %}
    {% do above.extend(ancestors(id)) %}
  {% endfor %}
  {% set judged = [] %}
  {% for id in read if id not in above %}
    {% do judged.append(graph.nodes[id]) %}
  {% endfor %}
  {{ return(judged) }}
{% endmacro %}
