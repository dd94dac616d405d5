{# Sessions. #}

{% macro first_known(column, place, preferred='true') -%}
  {# Places are below 2^40. #}
  min_by(
    {{ column }},
    case
      when {{ column }} is not null then {{ place }} + case when {{ preferred }} then 0 else 1099511627776 end
    end
  )
{%- endmacro %}

{% macro last_known(column, place, preferred='true') -%}
  max_by(
    {{ column }},
    case
      when {{ column }} is not null then {{ place }} - case when {{ preferred }} then 0 else 1099511627776 end
    end
  )
{%- endmacro %}

{% macro session_measures() -%}
  {# A mean of exact numbers is the same in any order of rows. #}
  count(distinct visitor_key) as visitors,
  count(case when is_new_visitor then 1 end) as new_visitors,
  count(*) as sessions,
  cast(sum(page_views) as bigint) as page_views,
  cast(sum(events) as bigint) as events,
  count(case when is_bounce then 1 end) as bounces,
  {{ percentage('count(case when is_bounce then 1 end)', 'count(*)') }} as bounce_rate,
  count(case when is_engaged then 1 end) as engaged_sessions,
  {{ percentage('count(case when is_engaged then 1 end)', 'count(*)') }} as engagement_rate,
  round(cast(sum(cast(duration_seconds as decimal(18, 6))) as double) / count(*), 3) as average_duration_seconds,
  cast(sum(conversions) as bigint) as conversions,
  {{ sum_of_one_currency('revenue', 'currency', mixed='has_several_currencies') }} as revenue,
  {{ one_currency('revenue', 'currency', mixed='has_several_currencies') }} as currency
{%- endmacro %}
