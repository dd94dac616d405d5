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
