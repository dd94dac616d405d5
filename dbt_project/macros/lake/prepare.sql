{# on-run-start: makes the lake's files visible to this run's engine, or says at once why the run cannot work. #}

{% macro prepare_lake() %}
  {% if execute %}
    {% if flags.WHICH in ('build', 'run') %}
      {% do report([]) %}
    {% endif %}
    {% set needed = lake_inputs() %}
    {% do check_selection(needed) %}
    {% if needed.lake_tables and flags.WHICH in ('build', 'run') %}
      {# Marts are made from the days around them and from the whole history: two runs at once would each miss what the
         other publishes. Before anything of the lake is looked at. #}
      {% do lake_call('lake_lock', ['marts']) %}
    {% endif %}
    {% do run_query('create schema if not exists audit') %}
    {% set folders = [] %}
    {% for id in needed.lake_tables + needed.published %}
      {% do folders.append('marts/' ~ graph.nodes[id].name ~ '/') %}
    {% endfor %}
    {% do list_keys(folders) %}
    {% for id in needed.sources %}
      {% do register_source(graph.sources[id]) %}
    {% endfor %}
    {% for id in needed.lake_tables %}
      {# Asked now, while nothing of this run is published yet. #}
      {% do built_days(graph.nodes[id]) %}
    {% endfor %}
    {% for id in needed.published %}
      {% do register_published(graph.nodes[id]) %}
    {% endfor %}
    {% if needed.unit_tests and flags.WHICH == 'test' %}
      {% do create_fixture_shapes() %}
    {% endif %}
  {% endif %}
{% endmacro %}

{% macro lake_inputs() %}
  {# What the selected nodes read that this run does not build: sources and published models, which lie in the
     lake, and others, which lie nowhere. #}
  {% set needed = {
    'sources': [], 'published': [], 'missing': [], 'lake_tables': [], 'unaudited': [], 'unit_tests': []
  } %}
  {% for id in selected_resources | sort %}
    {% set node = graph.nodes.get(id) %}
    {% if node is none %}
      {% do needed.unit_tests.append(id) if id.startswith('unit_test.') %}
    {% else %}
      {% if is_lake_table(node) %}
        {% do needed.lake_tables.append(id) %}
        {% do needed.unaudited.append(node.name) if not blocking_tests(id) %}
      {% endif %}
      {% for parent_id in node.depends_on.nodes if parent_id not in selected_resources or parent_id in graph.sources %}
        {% set kind = 'sources' if parent_id in graph.sources
          else 'published' if is_lake_table(graph.nodes[parent_id])
          else 'missing' %}
        {% do needed[kind].append(parent_id) if parent_id not in needed[kind] %}
      {% endfor %}
    {% endif %}
  {% endfor %}
  {% if flags.WHICH == 'test' %}
    {% for id in needed.lake_tables if id not in needed.published %}
      {% do needed.published.append(id) %}
    {% endfor %}
  {% endif %}
  {{ return(needed) }}
{% endmacro %}

{% macro check_selection(needed) %}
  {% if needed.missing %}
    {% set names = [] %}
    {% for id in needed.missing %}
      {% do names.append(graph.nodes[id].name) %}
    {% endfor %}
    {{ exceptions.raise_compiler_error(
      'This selection reads ' ~ names | join(', ') ~ ', which exist only in the memory of a run that builds them. '
      'Select them too: dbt build --select +<model>. To test published days alone: '
      'dbt test --select <model> --indirect-selection cautious. For unit tests: dbt test --select test_type:unit'
    ) }}
  {% endif %}
  {% if flags.WHICH in ('build', 'run') and needed.lake_tables %}
    {% do require_window(graph.nodes[needed.lake_tables[0]].name) %}
  {% endif %}
  {% if flags.WHICH == 'build' and needed.unaudited %}
    {{ exceptions.raise_compiler_error(
      needed.unaudited | join(', ') ~ ': a lake_table is published when its tests pass, and this one has none. '
      'Give it at least one data test of severity error'
    ) }}
  {% endif %}
{% endmacro %}

{% macro register_source(source_node) %}
  {# A view over the raw files of the event dates that the run reads, and of no other. #}
  {% set wanted = source_days(source_node) %}
  {% do list_raw(source_node, window_days() + wanted) %}
  {% do note_absent_days(source_node) %}
  {% set keys = [] %}
  {% for day in wanted %}
    {% do keys.extend(raw_keys(source_node, day)) %}
  {% endfor %}
  {% set relation = api.Relation.create(
    database=source_node.database, schema=source_node.schema, identifier=source_node.identifier
  ) %}
  {% do register_files(relation, source_node.columns, lake_files(keys), ['event_date', 'source_date']) %}
{% endmacro %}

{% macro source_days(source_node) %}
  {# The event dates of a source that a run reads: the window's. Where a model needs the days around those that it
     builds, the source says so: `meta: {scope_of: <model>, before: 2, after: 1}`. #}
  {% set scope = source_node.config.get('meta', {}) %}
  {% if not scope.scope_of %}
    {{ return(window_days()) }}
  {% endif %}
  {{ return(days_around(built_days(node_named(scope.scope_of)), scope.before, scope.after)) }}
{% endmacro %}

{% macro note_absent_days(source_node) %}
  {# Such a day must not replace a published one by an empty one. #}
  {% set days = [] %}
  {% for day in window_days() if not has_own_file(source_node, day) %}
    {% do days.append(day) %}
  {% endfor %}
  {% do run_state('absent_days').update({source_node.unique_id: days}) %}
{% endmacro %}

{% macro has_own_file(source_node, day) %}
  {# Ingest writes a file for its own source date even when it is empty. Where there is none, the day was never
     ingested, or its raw files are gone. #}
  {% set known = run_state('own_files').setdefault(source_node.unique_id, {}) %}
  {% if day not in known %}
    {% do known.update({day: '/source_date=' ~ day ~ '/' in raw_keys(source_node, day) | join(' ')}) %}
  {% endif %}
  {{ return(known[day]) }}
{% endmacro %}

{% macro register_published(node) %}
  {# A lake_table that this run reads and does not build: its published days. #}
  {% set span = neighbouring_span(node.config.get('neighbour_days', 0)) %}
  {% set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
  {% set files = published_files(node, span.first, span.last) %}
  {% do register_files(relation, node.columns, files, partition_columns(node)) %}
{% endmacro %}

{% macro create_fixture_shapes() %}
  {# dbt asks the database for the column types of a unit test's inputs, and this database starts empty: every
     model gets an empty table of its declared columns. For `dbt test --select test_type:unit` only. #}
  {% for node in graph.nodes.values() if node.resource_type in ('model', 'seed') and node['columns'] %}
    {% set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
    {% do run_query('create schema if not exists ' ~ relation.without_identifier()) %}
    {% do run_query('create table if not exists ' ~ relation ~ ' as ' ~ typed_empty(node['columns'])) %}
  {% endfor %}
  {% for node in graph.sources.values() %}
    {% do register_source(node) %}
  {% endfor %}
{% endmacro %}

{% macro is_lake_table(node) %}
  {{ return(node.resource_type == 'model' and node.config.materialized == 'lake_table') }}
{% endmacro %}

{% macro blocking_tests(model_id) %}
  {# The data tests attached to a model that stop its publication: all but those of severity warn. A test that
     compares a mart with one that it is made from judges the lower of them. #}
  {% set known = run_state('blocking_tests') %}
  {% if model_id in known %}
    {{ return(known[model_id]) }}
  {% endif %}
  {% set ids = [] %}
  {% for id, node in graph.nodes.items() if node.resource_type == 'test' and model_id in node.depends_on.nodes %}
    {% set below = [] %}
    {% for other in node.depends_on.nodes if other in graph.nodes and other != model_id %}
      {% do below.append(other) if is_lake_table(graph.nodes[other]) and model_id in ancestors(other) %}
    {% endfor %}
    {% do ids.append(id) if node.config.severity | lower == 'error' and not below %}
  {% endfor %}
  {% do known.update({model_id: ids}) %}
  {{ return(ids) }}
{% endmacro %}
