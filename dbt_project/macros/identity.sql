{# The nodes of the identity graph: what a person is known by. #}

{% macro identity_node_types() %}
  {# Type → the SQL of its key, null where the id is not known. Keys are those of `visitor_key` in stg_events. #}
  {{ return({
    'visitor_id': "'visitor:' || visitor_id",
    'user_id': "'user:' || user_id",
    'device_id': "'device:' || device_id",
    'advertising_id': "'advertising:' || advertising_id",
    'cookie_id': "'cookie:' || cookie_id",
    'fingerprint': "'fingerprint:' || device_fingerprint || '@' || subnet_hash"
  }) }}
{% endmacro %}

{% macro identity_edge_types() %}
  {# Each pair of types once. #}
  {% set pairs = [] %}
  {% set types = identity_node_types().keys() | list %}
  {% for first in types %}
    {% for second in types[loop.index:] %}
      {% do pairs.append((first, second)) %}
    {% endfor %}
  {% endfor %}
  {{ return(pairs) }}
{% endmacro %}
