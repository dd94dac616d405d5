{# Campaigns, and the models that share conversions among them. #}

{% macro attribution_models() -%}
  ('first'), ('last'), ('last_non_direct'), ('linear'), ('position_based'), ('time_decay'), ('shapley')
{%- endmacro %}

{% macro campaign_parts() -%}
  order_id, campaign_id, publication_code, creative_id, channel
{%- endmacro %}

{% macro campaign_key(table) -%}
  {# Each part is prefixed with its length, so that different campaigns never give the same text. #}
  md5(
    {%- for part in campaign_parts().split(', ') %}
    coalesce(cast(length({{ table }}.{{ part }}) as varchar) || ':' || {{ table }}.{{ part }}, '-')
    {{- ' ||' if not loop.last }}
    {%- endfor %}
  )
{%- endmacro %}

{% macro campaign_of_visit(visits, ads) -%}
  {# A visit from an ad takes all parts from the ad, null or not, so that it has the same campaign as the ad's other
     numbers. A link within the site, whose source is `(direct)`, names no campaign. #}
  case when {{ ads }}.session_id is null then {{ visits }}.channel else {{ ads }}.channel end as channel,
  case
    when {{ ads }}.session_id is not null then {{ ads }}.order_id
    when {{ visits }}.click_id_kind = 'oid' and coalesce({{ visits }}.source, '') <> '(direct)'
      then {{ visits }}.click_id
  end as order_id,
  case
    when {{ ads }}.session_id is not null then {{ ads }}.campaign_id
    when coalesce({{ visits }}.source, '') <> '(direct)' then {{ visits }}.utm_campaign
  end as campaign_id,
  {{ ads }}.publication_code,
  {{ ads }}.creative_id
{%- endmacro %}

{% macro same_campaign(left, right) -%}
  {{ left }}.report_date = {{ right }}.report_date
  {%- for part in campaign_parts().split(', ') %}
  and {{ left }}.{{ part }} is not distinct from {{ right }}.{{ part }}
  {%- endfor %}
{%- endmacro %}
