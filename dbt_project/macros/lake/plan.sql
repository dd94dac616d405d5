{# Asks planning/ for the plan at the start of a run, and makes the lake's files visible to the engine. #}

{% macro prepare_lake() %}
  {% if execute %}
    {% set plan = asked_plan(true) %}
    {% do graph.update({'clicklake': plan}) %}
    {% do run_query('create schema if not exists audit') %}
    {% for view in plan.views %}
      {% set node = graph.nodes.get(view.id) or graph.sources[view.id] %}
      {% set columns = {} %}
      {% for name, type in view.columns %}{% do columns.update({name: {'name': name, 'data_type': type}}) %}{% endfor %}
      {% do columns.update(node.columns) %}
      {% if columns %}
        {% set relation = relation_of(node) %}
        {% set query = files_query(view.files, view.partitioned_by) if view.files %}
        {% set present = run_query('describe ' ~ query).columns[0].values() if view.files else [] %}
        {# Null in columns that none of the files has yet. Not a union with an empty table, which would halve the speed of
           joins. #}
        {% set rows = typed_rows(columns, present, '(' ~ query ~ ')' if view.files) %}
        {% do run_query('create schema if not exists ' ~ relation.without_identifier()) %}
        {% do run_query('create or replace view ' ~ relation ~ ' as ' ~ rows) %}
      {% endif %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro planned() %}
  {# Kept in `graph`: dbt keeps no other object for all of a run. #}
  {% if not execute %}
    {{ return({'window': [], 'built': {}, 'judged': {}, 'settled': {}}) }}
  {% endif %}
  {% if 'clicklake' not in graph %}
    {% do graph.update({'clicklake': asked_plan(false)}) %}
  {% endif %}
  {{ return(graph.clicklake) }}
{% endmacro %}

{% macro asked_plan(prepares) %}
  {% set nodes = [] %}
  {% for node in graph.get('nodes', {}).values() | list + graph.get('sources', {}).values() | list %}
    {# Only the needed keys: whole configurations would make the request three times as long. #}
    {% set config = node.config %}
    {% do nodes.append({
      'id': node.unique_id, 'name': node.identifier or node.name, 'kind': node.resource_type,
      'parents': node.get('depends_on', {}).nodes or [], 'config': {
        'materialized': config.get('materialized'), 'severity': config.get('severity'), 'meta': config.get('meta'),
        'partition_by': config.get('partition_by'), 'restates': config.get('restates'),
        'neighbour_days': config.get('neighbour_days')
      }
    }) %}
  {% endfor %}
  {{ return(lake_answer('plan', {
    'run': invocation_id, 'command': flags.WHICH, 'selected': selected_resources | list, 'nodes': nodes,
    'start': (invocation_args_dict.get('event_time_start') or '') | string,
    'end': (invocation_args_dict.get('event_time_end') or '') | string,
    'report': (flags.TARGET_PATH or 'target') ~ '/clicklake_publish.jsonl',
    'given_vars': invocation_args_dict.get('vars') or none, 'prepares': prepares
  })) }}
{% endmacro %}

{% macro lake_answer(question, request) %}
  {% set asked = tojson(request) | replace("'", "''") %}
  {% set answer = fromjson(run_query("select lake_answer('" ~ question ~ "', '" ~ asked ~ "')").columns[0][0]) %}
  {% if answer is mapping and answer.error %}
    {{ exceptions.raise_compiler_error(answer.error) }}
  {% endif %}
  {{ return(answer) }}
{% endmacro %}
