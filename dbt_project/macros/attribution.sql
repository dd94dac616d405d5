{# Attribution of conversions to touches. #}

{% macro kinds_of_touches() -%}
  {# Retargeting alone gets a returning person's conversion, and impressions get one only without a click or visit. #}
  (
    values
    ('retargeting', 1, interval '{{ rule("attribution_reattribution_seconds") }}' second),
    ('touch', 2, interval '{{ rule("attribution_click_seconds") }}' second),
    ('retargeting impression', 3, interval '{{ rule("attribution_impression_seconds") }}' second),
    ('impression', 4, interval '{{ rule("attribution_impression_seconds") }}' second),
    ('direct', 5, interval '{{ rule("attribution_click_seconds") }}' second)
  ) as kinds (kind, choice, span)
{%- endmacro %}

{% macro days_of(seconds) -%}
  {# The day of an event is that of its session. #}
  {{ return(((seconds | int + 86399) / 86400) | int + 1) }}
{%- endmacro %}

{% macro duration_in_words(seconds) -%}
  {%- set seconds = seconds | int -%}
  {%- if seconds % 86400 == 0 and seconds > 86400 -%}
    {{ (seconds / 86400) | int }} days
  {%- elif seconds % 3600 == 0 and seconds > 3600 -%}
    {{ (seconds / 3600) | int }} hours
  {%- else -%}
    {{ seconds }} seconds
  {%- endif -%}
{%- endmacro %}

{% macro channel_priority(channel) -%}
  {%- set listed = rule('attribution_channel_priority') -%}
  {%- if listed -%}
    case {{ channel }}
      {%- for each in listed %}
      when {{ quoted_list([each]) }} then {{ loop.index }}
      {%- endfor %}
      else {{ listed | length + 1 }}
    end
  {%- else -%}
    0
  {%- endif -%}
{%- endmacro %}

{% macro path_node(person_key, session_id) -%}
  coalesce({{ person_key }}, 'session:' || {{ session_id }})
{%- endmacro %}

{% macro install_evidence(row, fifth, sixth) -%}
  {# An ad's id, which all of its clicks carry, does not identify a click. #}
  case kinds.kind
    when 1 then
      case
        when {{ row }}.click_id_kind <> 'oid'
          then lower({{ row }}.click_id_kind) || '=' || {{ row }}.click_id
      end
    when 2 then {{ row }}.device_id
    when 3 then {{ row }}.advertising_id
    when 4 then {{ row }}.device_fingerprint || '@' || {{ row }}.subnet_hash
    when 5 then case when {{ fifth }} then {{ row }}.ip_hash || '|' || {{ row }}.user_agent end
    else case when {{ sixth }} then {{ row }}.ip_hash || '|' || {{ row }}.user_agent end
  end
{%- endmacro %}
