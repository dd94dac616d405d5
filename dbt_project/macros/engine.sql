{# What engines call by different names. #}

{% macro md5_number(text) %}
  {{ return(adapter.dispatch('md5_number', 'clicklake')(text)) }}
{% endmacro %}

{% macro duckdb__md5_number(text) %}
  {# A text's MD5 as a number, which sorts and compares faster than a text. #}
  {{ return('md5_number(' ~ text ~ ')') }}
{% endmacro %}
