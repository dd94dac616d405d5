{# What planning/ decides, asked for at the start of a run, and the lake's files made visible to its engine. #}

{% macro prepare_lake() %}
  {# on-run-start: says at once why the run cannot work, or makes ready what it reads. #}
  {% if execute %}
    {% set plan = asked_plan(true) %}
    {% do graph.update({'clicklake': plan}) %}
    {% do run_query('create schema if not exists audit') %}
    {% for id, files in plan.sources.items() %}
      {% do register_source(graph.sources[id], files) %}
    {% endfor %}
    {% for id, files in plan.published.items() %}
      {% set node = graph.nodes[id] %}
      {% set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
      {% do register_files(relation, node.columns, files, partition_columns(node)) %}
    {% endfor %}
    {% if flags.WHICH == 'test' and 'unit_test.' in selected_resources | join(' ') %}
      {% do create_fixture_shapes(plan) %}
    {% endif %}
  {% endif %}
{% endmacro %}

{% macro planned() %}
  {# The plan of this run, kept in `graph`: dbt keeps no other object for all of it. Without one, as where dbt compiles
     alone, it is asked for now, and nothing is checked or locked. #}
  {% if not execute %}
    {{ return({'window': [], 'built': {}, 'judged': {}}) }}
  {% endif %}
  {% if 'clicklake' not in graph %}
    {% do graph.update({'clicklake': asked_plan(false)}) %}
  {% endif %}
  {{ return(graph.clicklake) }}
{% endmacro %}

{% macro asked_plan(prepares) %}
  {{ return(lake_answer('lake_plan', {
    'run': invocation_id,
    'command': flags.WHICH,
    'start': (invocation_args_dict.get('event_time_start') or '') | string,
    'end': (invocation_args_dict.get('event_time_end') or '') | string,
    'selected': selected_resources | list,
    'nodes': described_nodes(),
    'variables': checked_variables(),
    'report': (flags.TARGET_PATH or 'target') ~ '/clicklake_publish.jsonl',
    'prepares': prepares
  })) }}
{% endmacro %}

{% macro described_nodes() %}
  {# What planning/graph.py knows of each node. #}
  {% set found = [] %}
  {% for id, node in graph.get('nodes', {}).items() %}
    {% do found.append({
      'id': id, 'name': node.name, 'kind': node.resource_type, 'parents': node.depends_on.nodes or [],
      'materialized': node.config.get('materialized'), 'severity': node.config.get('severity'),
      'partition_by': node.config.get('partition_by'), 'restates': node.config.get('restates'),
      'neighbour_days': node.config.get('neighbour_days')
    }) %}
  {% endfor %}
  {% for id, node in graph.get('sources', {}).items() %}
    {# `meta: {scope_of: <model>, before: 2, after: 1}` where a model needs the days around those that it builds. #}
    {% do found.append({'id': id, 'name': node.identifier, 'kind': 'source', 'scope': node.config.get('meta')}) %}
  {% endfor %}
  {{ return(found) }}
{% endmacro %}

{% macro checked_variables() %}
  {# Those of planning/variables.py. #}
  {% set names = [
    'session_by', 'identity_known_at', 'attribution_grain', 'visitor_history_days', 'retention_days', 'funnel_max_days',
    'attribution_click_seconds', 'attribution_impression_seconds', 'attribution_install_seconds',
    'attribution_max_touches'
  ] %}
  {% set found = {} %}
  {% for name in names %}
    {% do found.update({name: var(name)}) %}
  {% endfor %}
  {{ return(found) }}
{% endmacro %}

{% macro lake_days(asked) %}
  {# What a model asks of the plan: see `lake_days` in lake_plugin.py. #}
  {% do planned() %}
  {{ return(lake_answer('lake_days', asked)) }}
{% endmacro %}

{% macro lake_answer(function, request) %}
  {% set answer = fromjson(lake_call(function, [tojson(request)])) %}
  {% if answer is mapping and answer.error %}
    {{ exceptions.raise_compiler_error(answer.error) }}
  {% endif %}
  {{ return(answer) }}
{% endmacro %}

{% macro lake_call(function, arguments) %}
  {# Calls a function of lake_plugin.py and gives its value. #}
  {% set quoted = [] %}
  {% for argument in arguments %}
    {% do quoted.append("'" ~ (argument | string | replace("'", "''")) ~ "'") %}
  {% endfor %}
  {{ return(run_query('select ' ~ function ~ '(' ~ quoted | join(', ') ~ ')').columns[0].values()[0]) }}
{% endmacro %}

{% macro register_source(source_node, files) %}
  {# A view over the raw files of the event dates that the run reads, and of no other. #}
  {% set relation = api.Relation.create(
    database=source_node.database, schema=source_node.schema, identifier=source_node.identifier
  ) %}
  {% do register_files(relation, source_node.columns, files, ['event_date', 'source_date']) %}
{% endmacro %}

{% macro create_fixture_shapes(plan) %}
  {# dbt asks the database for the column types of a unit test's inputs, and this database starts empty: every
     model gets an empty table of its declared columns. For `dbt test --select test_type:unit` only. #}
  {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed') and node['columns'] %}
    {% set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
    {% do run_query('create schema if not exists ' ~ relation.without_identifier()) %}
    {% do run_query('create table if not exists ' ~ relation ~ ' as ' ~ typed_empty(node['columns'])) %}
  {% endfor %}
  {% for node in graph.sources.values() if node.unique_id not in plan.sources %}
    {% do register_source(node, []) %}
  {% endfor %}
{% endmacro %}
