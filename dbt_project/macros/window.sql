{# The window: the days that a run is about, as given by
   `dbt build --event-time-start 2026-01-12 --event-time-end 2026-01-13`, the end not included.
   Commands that take no window (test, compile, docs) mean all days. Read from dbt's own options and
   not from --vars, which would make dbt parse the whole project again for each window. #}

{% macro window_bounds() %}
  {# First day and the day after the last, as ISO texts. A part of a day asks for that whole day. #}
  {% set start = invocation_args_dict.get('event_time_start') %}
  {% set end = invocation_args_dict.get('event_time_end') %}
  {% if start and end %}
    {% set start = start | string %}
    {% set end = end | string %}
    {% set last = modules.datetime.date.fromisoformat(end[:10]) %}
    {% if end[11:].replace('0', '').replace(':', '') %}
      {% set last = last + modules.datetime.timedelta(days=1) %}
    {% endif %}
    {{ return({'start': start[:10], 'end': last.isoformat()}) }}
  {% endif %}
  {{ return(none) }}
{% endmacro %}

{% macro require_window(wanted_by) %}
  {% if execute and not window_bounds() %}
    {{ exceptions.raise_compiler_error(
      wanted_by ~ ' is built for a window of days, and none was given. Name it, the end not included: '
      'dbt build --event-time-start 2026-01-12 --event-time-end 2026-01-13'
    ) }}
  {% endif %}
{% endmacro %}

{% macro window_days() %}
  {# The days of the window, as ISO texts; none without a window. #}
  {% set bounds = window_bounds() %}
  {% set days = [] %}
  {% if bounds %}
    {% set start = modules.datetime.date.fromisoformat(bounds.start) %}
    {% set end = modules.datetime.date.fromisoformat(bounds.end) %}
    {% for offset in range((end - start).days) %}
      {% do days.append((start + modules.datetime.timedelta(days=offset)).isoformat()) %}
    {% endfor %}
  {% endif %}
  {{ return(days) }}
{% endmacro %}

{% macro window_start() -%}
  cast('{{ (window_bounds() or {'start': '0001-01-01'}).start }}' as date)
{%- endmacro %}

{% macro window_end() -%}
  cast('{{ (window_bounds() or {'end': '9999-12-31'}).end }}' as date)
{%- endmacro %}

{% macro in_window(column) -%}
  ({{ column }} >= {{ window_start() }} and {{ column }} < {{ window_end() }})
{%- endmacro %}

{% macro day_after(day, days) %}
  {# The day so many days after an ISO date, or before it. #}
  {{ return((modules.datetime.date.fromisoformat(day) + modules.datetime.timedelta(days=days)).isoformat()) }}
{% endmacro %}

{% macro node_named(name) %}
  {% for node in graph.nodes.values() if node.resource_type == 'model' and node.name == name %}
    {{ return(node) }}
  {% endfor %}
{% endmacro %}

{% macro built_days(node) %}
  {# The days of a lake_table that a run builds, as ISO texts: those of the window. A model that `restates` also
     builds its published days around the window, as far as there is what they are made from; and of the window
     itself it leaves out what has no raw file, so that the rest is as it would be alone. #}
  {% set restates = node.config.get('restates') %}
  {% if not restates or not window_days() %}
    {{ return(window_days()) }}
  {% endif %}
  {% set known = run_state('built_days') %}
  {% if node.name in known %}
    {{ return(known[node.name]) }}
  {% endif %}
  {% set days = makeable_days(node, window_days() + restated_days(node, restates)) %}
  {% do known.update({node.name: days | sort}) %}
  {{ return(known[node.name]) }}
{% endmacro %}

{% macro restated_days(node, restates) %}
  {# The published days around the window that depend on it. #}
  {% set window = window_days() %}
  {% set first = day_after(window[0], -restates.before) %}
  {% set last = day_after(window[-1], restates.after) %}
  {% set days = [] %}
  {% for day in published_days(node) if first <= day <= last and day not in window %}
    {% do days.append(day) %}
  {% endfor %}
  {{ return(days) }}
{% endmacro %}

{% macro makeable_days(node, days) %}
  {# Of some days those that can be made: raw has its own file of them, and the marts above that restate build them as
     well, or, of a day around the window, have it published. #}
  {% set window = window_days() %}
  {% set absent = [] %}
  {% for id in ancestors(node.unique_id) %}
    {% set above = graph.nodes.get(id) %}
    {% if id in graph.sources %}
      {% do list_raw(graph.sources[id], days) %}
      {% for day in days if not has_own_file(graph.sources[id], day) %}
        {% do absent.append(day) %}
      {% endfor %}
    {% elif above and is_lake_table(above) and above.config.get('restates') and id in selected_resources %}
      {% set built = built_days(above) %}
      {% set published = published_days(above) %}
      {% for day in days if day not in built and (day in window or day not in published) %}
        {% do absent.append(day) %}
      {% endfor %}
    {% endif %}
  {% endfor %}
  {{ return(days | reject('in', absent) | list) }}
{% endmacro %}

{% macro days_around(days, before, after) %}
  {# Some days, and so many before and after each of them. #}
  {% set found = [] %}
  {% for day in days %}
    {% for offset in range(-before, after + 1) %}
      {% do found.append(day_after(day, offset)) %}
    {% endfor %}
  {% endfor %}
  {{ return(found | unique | sort) }}
{% endmacro %}

{% macro in_built_days(model_name, column, before=0, after=0) -%}
  {# Whether a date is one that the run builds of a model, or lies so many days before or after one. All are where
     nothing is built, as in unit tests, which know no graph. #}
  {%- set node = node_named(model_name) if execute and window_bounds() and graph.nodes else none -%}
  {%- if not node -%}
    true
  {%- elif not (node.config.get('restates') or before or after) -%}
    {{ in_window(column) }}
  {%- else -%}
    {%- set days = days_around(built_days(node), before, after) -%}
    {{ column ~ ' in (' ~ quoted_list(days) ~ ')' if days else 'false' }}
  {%- endif -%}
{%- endmacro %}

{% macro days_of_marts(names) -%}
  {# A row `date_day` for each day from the first to the last that any of these models has published, or is built for in
     this run; none where nothing is built. #}
  {%- set days = [] -%}
  {%- for name in names -%}
    {%- set node = node_named(name) if execute and window_bounds() and graph.nodes else none -%}
    {%- for day in (published_days(node) if node else []) -%}
      {%- do days.append(day) -%}
    {%- endfor -%}
    {%- for day in (makeable_days(node, built_days(node)) if node else []) -%}
      {%- do days.append(day) -%}
    {%- endfor -%}
  {%- endfor -%}
  {%- if days -%}
    (select {{ days_from_to("date '" ~ days | min ~ "'", "date '" ~ days | max ~ "'") }} as date_day) as days_of_marts
  {%- else -%}
    (select cast(null as date) as date_day where false) as days_of_marts
  {%- endif -%}
{%- endmacro %}

{% macro built_day_rows(model_names) -%}
  {# A row for each day that the run builds of any of some models, in the column built_date. #}
  {%- set days = [] -%}
  {%- for name in model_names if execute and graph.nodes -%}
    {%- do days.extend(built_days(node_named(name))) -%}
  {%- endfor -%}
  select cast(built_day as date) as built_date
  from (values {% for day in days | unique | sort %}('{{ day }}'), {% endfor %}(null)) as built_days (built_day)
  where built_day is not null
{%- endmacro %}
