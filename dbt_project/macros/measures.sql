{# Shares, times and amounts of money. #}

{% macro percentage(part, whole) -%}
  {# Whole numbers until the last step: binary fractions would round 1.005 down. #}
  case
    when {{ whole }} = 0 then cast(0 as double)
    else floor((20000 * {{ part }} + {{ whole }}) / (2 * {{ whole }})) / 100
  end
{%- endmacro %}

{% macro ratio(part, whole) -%}
  {# A double, because a whole may be a billionth. #}
  round(cast({{ part }} as double) / nullif(cast({{ whole }} as double), 0), 4)
{%- endmacro %}

{% macro seconds_between(earlier, later) -%}
  {# Spark calls epoch_us unix_micros. #}
  ((epoch_us({{ later }}) - epoch_us({{ earlier }})) / 1000000.0)
{%- endmacro %}

{% macro has_several_currencies(amount, currency, mixed=none) -%}
  {# Amounts of different currencies cannot be added up; an unknown currency counts as a different one. #}
  (
    count(distinct case when {{ amount }} is not null then coalesce({{ currency }}, '') end) > 1
    {%- if mixed %}
    or coalesce(bool_or({{ mixed }}), false)
    {%- endif %}
  )
{%- endmacro %}

{% macro sum_of_one_currency(amount, currency, mixed=none) -%}
  case
    when not {{ has_several_currencies(amount, currency, mixed) }}
      then cast(sum({{ amount }}) as decimal(18, 4))
  end
{%- endmacro %}

{% macro one_currency(amount, currency, mixed=none) -%}
  case
    when not {{ has_several_currencies(amount, currency, mixed) }}
      then max(case when {{ amount }} is not null then {{ currency }} end)
  end
{%- endmacro %}
