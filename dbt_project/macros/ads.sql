{# Requests of ads. #}

{% macro request_reason() -%}
  case
    when status >= {{ rule('ivt_invalid_status_from') }} then 'status'
    when upper(method) <> 'GET' then 'method'
    -- A mail proxy fetches pictures for a reader, but follows links only to scan for malware.
    when is_bot and not (request_type = 'impression' and coalesce(device_category, '') = 'mail') then 'bot'
  end
{%- endmacro %}
