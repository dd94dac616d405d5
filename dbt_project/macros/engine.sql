{# Functions whose names differ between engines: one macro that models call, and one for each engine. #}

{% macro matches(text, regex) %}
  {{ return(adapter.dispatch('matches', 'clicklake')(text, regex)) }}
{% endmacro %}

{% macro duckdb__matches(text, regex) %}
  {{ return('regexp_matches(' ~ text ~ ', ' ~ regex ~ ')') }}
{% endmacro %}

{% macro md5_number(text) %}
  {{ return(adapter.dispatch('md5_number', 'clicklake')(text)) }}
{% endmacro %}

{% macro duckdb__md5_number(text) %}
  {# A number sorts and compares faster than a text. #}
  {{ return('md5_number(' ~ text ~ ')') }}
{% endmacro %}

{% macro md5_small_number(text) %}
  {{ return(adapter.dispatch('md5_small_number', 'clicklake')(text)) }}
{% endmacro %}

{% macro duckdb__md5_small_number(text) %}
  {# 64 bits: two texts may have the same number. #}
  {{ return('md5_number_lower(' ~ text ~ ')') }}
{% endmacro %}

{% macro days_from_to(first, last) %}
  {{ return(adapter.dispatch('days_from_to', 'clicklake')(first, last)) }}
{% endmacro %}

{% macro duckdb__days_from_to(first, last) %}
  {{ return('cast(unnest(generate_series(' ~ first ~ ', ' ~ last ~ ", interval '1' day)) as date)") }}
{% endmacro %}

{% macro each_number(first, last) %}
  {{ return(adapter.dispatch('each_number', 'clicklake')(first, last)) }}
{% endmacro %}

{% macro duckdb__each_number(first, last) %}
  {{ return('unnest(generate_series(' ~ first ~ ', ' ~ last ~ '))') }}
{% endmacro %}

{% macro whole_quotient(dividend, divisor) %}
  {{ return(adapter.dispatch('whole_quotient', 'clicklake')(dividend, divisor)) }}
{% endmacro %}

{% macro duckdb__whole_quotient(dividend, divisor) %}
  {{ return('((' ~ dividend ~ ') // (' ~ divisor ~ '))') }}
{% endmacro %}

{% macro median_of(values) %}
  {{ return(adapter.dispatch('median_of', 'clicklake')(values)) }}
{% endmacro %}

{% macro duckdb__median_of(values) %}
  {{ return('list_median([' ~ values | join(', ') ~ '])') }}
{% endmacro %}
