{# What engines call by different names. #}

{% macro md5_number(text) %}
  {{ return(adapter.dispatch('md5_number', 'clicklake')(text)) }}
{% endmacro %}

{% macro duckdb__md5_number(text) %}
  {# A text's MD5 as a number, which sorts and compares faster than a text. #}
  {{ return('md5_number(' ~ text ~ ')') }}
{% endmacro %}

{% macro days_from_to(first, last) %}
  {{ return(adapter.dispatch('days_from_to', 'clicklake')(first, last)) }}
{% endmacro %}

{% macro duckdb__days_from_to(first, last) %}
  {# In a select list: a row for each day between two dates, both included. #}
  {{ return('cast(unnest(generate_series(' ~ first ~ ', ' ~ last ~ ", interval '1' day)) as date)") }}
{% endmacro %}

{% macro each_number(first, last) %}
  {{ return(adapter.dispatch('each_number', 'clicklake')(first, last)) }}
{% endmacro %}

{% macro duckdb__each_number(first, last) %}
  {# A row for each whole number from one to another, both included; as a column of a select. #}
  {{ return('unnest(generate_series(' ~ first ~ ', ' ~ last ~ '))') }}
{% endmacro %}

{% macro whole_quotient(dividend, divisor) %}
  {{ return(adapter.dispatch('whole_quotient', 'clicklake')(dividend, divisor)) }}
{% endmacro %}

{% macro duckdb__whole_quotient(dividend, divisor) %}
  {# Of whole numbers that are not negative, exactly. #}
  {{ return('((' ~ dividend ~ ') // (' ~ divisor ~ '))') }}
{% endmacro %}

{% macro median_of(values) %}
  {{ return(adapter.dispatch('median_of', 'clicklake')(values)) }}
{% endmacro %}

{% macro duckdb__median_of(values) %}
  {# Of some expressions of one row, without those that are null; null without any. #}
  {{ return('list_median([' ~ values | join(', ') ~ '])') }}
{% endmacro %}
