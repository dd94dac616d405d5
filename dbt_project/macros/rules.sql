{# The variables of rules. #}

{% macro rule(name) %}
  {{ return(var(name)) }}
{% endmacro %}
