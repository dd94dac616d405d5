{# The window: the days that a run is about, as given by
   `dbt build --event-time-start 2026-01-12 --event-time-end 2026-01-13`, the end not included.
   Commands that take no window (test, compile, docs) mean all days. Read from dbt's own options and
   not from --vars, which would make dbt parse the whole project again for each window.

   Which days are built, restated and left out is decided in planning/; here they become SQL. #}

{% macro window_start() -%}
  cast('{{ (planned().window or ['0001-01-01']) | first }}' as date)
{%- endmacro %}

{% macro window_end() -%}
  {# The day after the last. #}
  {%- set days = planned().window -%}
  {{ "cast('" ~ days | last ~ "' as date) + 1" if days else "cast('9999-12-31' as date)" }}
{%- endmacro %}

{% macro in_window(column) -%}
  ({{ column }} >= {{ window_start() }} and {{ column }} < {{ window_end() }})
{%- endmacro %}

{% macro built_days(model_name, before=0, after=0) %}
  {# The days that the run builds of a model, and so many before and after each of them, as ISO texts; none of what is no
     model. #}
  {% set known = planned().built %}
  {% set asked = model_name ~ (' ' ~ before ~ ' ' ~ after if before or after else '') %}
  {% if asked not in known %}
    {% set answer = lake_days({'ask': 'built', 'of': model_name, 'before': before, 'after': after}) %}
    {% do known.update({asked: answer.days}) %}
  {% endif %}
  {{ return(known[asked]) }}
{% endmacro %}

{% macro has_days() %}
  {# Whether there is a window and a graph: unit tests know no graph. #}
  {{ return(execute and graph.nodes and planned().window) }}
{% endmacro %}

{% macro in_built_days(model_name, column, before=0, after=0) -%}
  {# Whether a date is one that the run builds of a model, or lies so many days before or after one. All are where
     nothing is built, as in unit tests. #}
  {%- set days = built_days(model_name, before, after) if has_days() else none -%}
  {%- if days is none -%}
    true
  {%- elif days == planned().window -%}
    {{ in_window(column) }}
  {%- else -%}
    {{ column ~ ' in (' ~ quoted_list(days) ~ ')' if days else 'false' }}
  {%- endif -%}
{%- endmacro %}

{% macro days_of_marts(names) -%}
  {# A row `date_day` for each day from the first to the last that any of these models has published, or is built for in
     this run; none where nothing is built. #}
  {%- set days = lake_days({'ask': 'marts', 'of': names}).days if has_days() else [] -%}
  {%- if days -%}
    (select {{ days_from_to("date '" ~ days | first ~ "'", "date '" ~ days | last ~ "'") }} as date_day) as days_of_marts
  {%- else -%}
    (select cast(null as date) as date_day where false) as days_of_marts
  {%- endif -%}
{%- endmacro %}

{% macro published_day_rows(model_name) -%}
  {# A row for each day that a model has published, or is built for in this run, in the column published_date: unlike the
     days of its rows, also those without any. #}
  {%- set days = lake_days({'ask': 'marts', 'of': [model_name]}).days if has_days() else [] -%}
  select cast(published_day as date) as published_date
  from (values {% for day in days %}('{{ day }}'), {% endfor %}(null)) as published_days (published_day)
  where published_day is not null
{%- endmacro %}

{% macro built_day_rows(model_names) -%}
  {# A row for each day that the run builds of any of some models, in the column built_date. #}
  {%- set days = [] -%}
  {%- for name in model_names if has_days() -%}
    {%- do days.extend(built_days(name)) -%}
  {%- endfor -%}
  select cast(built_day as date) as built_date
  from (values {% for day in days | unique | sort %}('{{ day }}'), {% endfor %}(null)) as built_days (built_day)
  where built_day is not null
{%- endmacro %}
