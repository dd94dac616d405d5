{# What engines call by different names. #}

{% macro md5_number(text) %}
  {{ return(adapter.dispatch('md5_number', 'clicklake')(text)) }}
{% endmacro %}

{% macro duckdb__md5_number(text) %}
  {# A text's MD5 as a number, which sorts and compares faster than a text. #}
  {{ return('md5_number(' ~ text ~ ')') }}
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
