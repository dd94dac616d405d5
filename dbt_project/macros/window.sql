{# The window: the days that a run is about, as given by
   `dbt build --event-time-start 2026-01-12 --event-time-end 2026-01-13`, the end not included.
   Commands that take no window (test, compile, docs) mean all days. Read from dbt's own options and
   not from --vars, which would make dbt parse the whole project again for each window.

   Which days are built, restated and left out is decided in planning/; here they become SQL. #}

{% macro in_window(column) -%}
  {{ column_within(column, planned().window or none) }}
{%- endmacro %}

{% macro in_built_days(model_name, column, before=0, after=0) -%}
  {{ column_within(column, built_days(model_name, before, after)) }}
{%- endmacro %}

{% macro column_within(column, days) -%}
  {%- if days is none -%}
    true
  {%- elif days and days == planned().window -%}
    ({{ column }} >= date '{{ days | first }}' and {{ column }} <= date '{{ days | last }}')
  {%- else -%}
    {{ column ~ ' in (' ~ quoted_list(days) ~ ')' if days else 'false' }}
  {%- endif -%}
{%- endmacro %}

{% macro built_days(model_name, before=0, after=0) %}
  {% if not has_days() %}
    {{ return(none) }}
  {% endif %}
  {% if before or after or model_name not in planned().built %}
    {{ return(lake_answer('days_around', {'model': model_name, 'before': before, 'after': after}).days) }}
  {% endif %}
  {{ return(planned().built[model_name]) }}
{% endmacro %}

{% macro has_days() %}
  {# Unit tests know no graph. #}
  {{ return(execute and graph.nodes and planned().window) }}
{% endmacro %}

{% macro days_of_marts(names) -%}
  {%- set days = lake_answer('days_of_marts', {'models': names}).days if has_days() else [] -%}
  (
  {%- if days -%}
    select {{ days_from_to("date '" ~ days | first ~ "'", "date '" ~ days | last ~ "'") }} as date_day
  {%- else -%}
    select cast(null as date) as date_day where false
  {%- endif -%}
  ) as days_of_marts
{%- endmacro %}

{% macro published_day_rows(model_name) -%}
  {%- set days = lake_answer('days_of_marts', {'models': [model_name]}).days if has_days() else [] -%}
  select cast(published_day as date) as published_date
  from (values {% for day in days %}('{{ day }}'), {% endfor %}(null)) as published_days (published_day)
  where published_day is not null
{%- endmacro %}

{% macro built_day_rows(model_names) -%}
  {%- set days = [] -%}
  {%- for name in model_names if has_days() -%}
    {%- do days.extend(built_days(name)) -%}
  {%- endfor -%}
  select cast(built_day as date) as built_date
  from (values {% for day in days | unique | sort %}('{{ day }}'), {% endfor %}(null)) as built_days (built_day)
  where built_day is not null
{%- endmacro %}
