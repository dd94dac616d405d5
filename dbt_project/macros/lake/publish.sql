{# on-run-end: publishes what was built and passed its tests; the rest goes to quarantine, and the last good files
   stand. One file, one atomic put for each model and day: a run that dies in between has published some whole
   days, and the next run does the others. Which days are good is decided in planning/verdicts.py. #}

{% macro publish_lake(results) %}
  {% if execute and flags.WHICH in ('build', 'run') %}
    {% set found = [] %}
    {% for result in results if result.node %}
      {% do found.append({
        'id': result.node.unique_id, 'name': result.node.name, 'status': result.status | string,
        'message': result.message, 'failures': result.failures,
        'seconds': result.execution_time
      }) %}
    {% endfor %}
    {% do planned() %}
    {% for judged in lake_answer('lake_judge', {'results': found, 'empty': flags.EMPTY}) %}
      {% set node = graph.nodes[judged.id] %}
      {% for warning in judged.warnings %}
        {% do exceptions.warn(warning) %}
      {% endfor %}
      {% do stage_days(node, judged.quarantine.paths) %}
      {% if judged.quarantine.files or judged.others %}
        {% do lake_call('lake_quarantine', [tojson(
          {'run': invocation_id, 'files': judged.quarantine.files, 'others': judged.others}
        )]) %}
      {% endif %}
      {% do publish_days(node, judged.publish) if judged.publish.files %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro publish_days(node, publication) %}
  {# dbt is asked once for all days, since a question costs it more than a small file. #}
  {% do stage_days(node, publication.paths) %}
  {% set sums = fromjson(lake_call('lake_publish', [tojson(publication.files)])) %}
  {% set days = publication.files | map(attribute='entries') | sum(start=[]) | map(attribute='day') | list %}
  {% set span = days[0] ~ (' … ' ~ days[-1] if days | length > 1 else '') %}
  {% do log('Published ' ~ node.name ~ ' ' ~ span ~ ': ' ~ sums.rows ~ ' rows, ' ~ sums.bytes ~ ' bytes', info=true) %}
{% endmacro %}
