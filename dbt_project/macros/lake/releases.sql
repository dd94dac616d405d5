{# A test that fails no more than what a person has released does not stop its model: dbt then warns, and builds what
   lies below. Only where a test fails is a release looked for, on the days that the plan names. #}

{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) %}
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
