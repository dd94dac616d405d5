{# Parquet files of the lake as views, and tables as files: what differs between engines is dispatched. #}

{% macro run_state(name) %}
  {# What this run has found out, by key: found out once, since each question to the engine costs some ten milliseconds,
     and kept, since what the run publishes meanwhile must not change it. dbt keeps `graph` for all of a run, and no
     other object. #}
  {% do graph.setdefault('clicklake', {}) %}
  {{ return(graph.clicklake.setdefault(name, {})) }}
{% endmacro %}

{% macro listed_keys(prefix) %}
  {# Keys of the files below a folder of the lake, as they were when the run first asked. #}
  {% do list_keys([prefix]) %}
  {{ return(run_state('listings')[prefix]) }}
{% endmacro %}

{% macro list_keys(prefixes) %}
  {# Asks for the files of folders that nobody has asked for yet, of all in one question. #}
  {% set listings = run_state('listings') %}
  {% set unknown = prefixes | reject('in', listings) | unique | list %}
  {% do listings.update(fromjson(lake_call('lake_keys', [tojson(unknown)]))) if unknown %}
{% endmacro %}

{% macro lake_files(keys) %}
  {# Keys of the lake as paths that DuckDB can read; those on S3 are fetched. #}
  {{ return(fromjson(lake_call('lake_files', [tojson(keys)])) | sort if keys else []) }}
{% endmacro %}

{% macro partition_of(key, column) %}
  {# The value of a `column=value` folder in an address. #}
  {{ return(key.split('/' ~ column ~ '=')[1].split('/')[0]) }}
{% endmacro %}

{% macro published_days(node) %}
  {# Days of a model that have a file. #}
  {% set known = run_state('published_days') %}
  {% if node.name not in known %}
    {% set days = [] %}
    {% for key in listed_keys('marts/' ~ node.name ~ '/') %}
      {% do days.append(partition_of(key, node.config.partition_by)) %}
    {% endfor %}
    {% do known.update({node.name: days}) %}
  {% endif %}
  {{ return(known[node.name]) }}
{% endmacro %}

{% macro is_snapshot(node) %}
  {# A lake_table that is not of days: one file, always of the whole history. #}
  {{ return(not node.config.get('partition_by')) }}
{% endmacro %}

{% macro partition_columns(node) %}
  {{ return([] if is_snapshot(node) else [node.config.partition_by]) }}
{% endmacro %}

{% macro published_files(node, first=none, last=none, without=[]) %}
  {# Files of a model's published days: all, or those from `first` to `last`, both included; some days left out. #}
  {% if is_snapshot(node) %}
    {{ return(lake_files(listed_keys('marts/' ~ node.name ~ '/'))) }}
  {% endif %}
  {% set keys = [] %}
  {% for day in published_days(node) if day not in without %}
    {% if (first is none or day >= first) and (last is none or day <= last) %}
      {% do keys.append(mart_key(node, day)) %}
    {% endif %}
  {% endfor %}
  {{ return(lake_files(keys)) }}
{% endmacro %}

{% macro published_rows(model_name, days_before) -%}
  {# Rows of a model's published days that a run does not build, from so many days before the first that it builds
     on; for a model that is made from its own past, which dbt cannot `ref`. #}
  {%- set node = node_named(model_name) if execute else none -%}
  {%- set built = built_days(node) if node else [] -%}
  {%- set files = published_files(node, day_after(built[0], -days_before), built[-1], built) if built else [] -%}
  {%- if files -%}
    ({{ files_query(files, [node.config.partition_by]) }}) as published_rows
  {%- else -%}
    ({{ typed_empty(node.columns) if node else 'select null as ' ~ needed ~ ' where false' }}) as published_rows
  {%- endif -%}
{%- endmacro %}

{% macro mart_key(node, day) %}
  {% set folder = '' if is_snapshot(node) else node.config.partition_by ~ '=' ~ day ~ '/' %}
  {{ return('marts/' ~ node.name ~ '/' ~ folder ~ 'data.parquet') }}
{% endmacro %}

{% macro raw_keys(source_node, day) %}
  {# Raw files of an event date. #}
  {{ return(listed_keys(raw_folder(source_node, day))) }}
{% endmacro %}

{% macro list_raw(source_node, days) %}
  {# Asks for the raw files of many days at once. #}
  {% set folders = [] %}
  {% for day in days %}
    {% do folders.append(raw_folder(source_node, day)) %}
  {% endfor %}
  {% do list_keys(folders) %}
{% endmacro %}

{% macro raw_folder(source_node, day) %}
  {{ return('raw/' ~ source_node.identifier ~ '/event_date=' ~ day ~ '/') }}
{% endmacro %}

{% macro typed_empty(columns) %}
  {# No rows with the columns and types of a properties file: the shape of what has no file yet. #}
  select
    {%- for column in columns.values() %}
    cast(null as {{ column.data_type }}) as {{ adapter.quote(column.name) }}{{ ',' if not loop.last }}
    {%- endfor %}
  where false
{% endmacro %}

{% macro files_query(uris, partition_columns) %}
  {{ return(adapter.dispatch('files_query', 'clicklake')(uris, partition_columns)) }}
{% endmacro %}

{% macro duckdb__files_query(uris, partition_columns) %}
  {# By name, so that files from before a column was added read as null in it. #}
  select * from read_parquet(
    [{% for uri in uris %}'{{ uri | replace("'", "''") }}'{{ ', ' if not loop.last }}{% endfor %}],
    union_by_name = true
    {%- if partition_columns %}, hive_partitioning = true,
    hive_types = { {%- for column in partition_columns %}'{{ column }}': date{{ ', ' if not loop.last }}{% endfor -%} }
    {%- endif %}
  )
{% endmacro %}

{% macro register_files(relation, columns, uris, partition_columns) %}
  {# A view over exactly these files, with the columns and types of a properties file: empty without files, null in
     columns that none of them has yet. Not a union with an empty table, which would halve the speed of joins. #}
  {% do run_query('create schema if not exists ' ~ relation.without_identifier()) %}
  {% if uris %}
    {% set query = files_query(uris, partition_columns) %}
    {% set types = {} %}
    {% for row in run_query('describe ' ~ query).rows %}
      {% do types.update({row[0]: row[1] | lower}) %}
    {% endfor %}
    {% set view %}
      select
        {%- for column in columns.values() %}
        {%- set name = adapter.quote(column.name) %}
        {% if types.get(column.name) == column.data_type | lower -%}
          {{ name }}
        {%- else -%}
          cast({{ name if column.name in types else 'null' }} as {{ column.data_type }}) as {{ name }}
        {%- endif -%}
        {{ ',' if not loop.last }}
        {%- endfor %}
      from ({{ query }})
    {% endset %}
  {% else %}
    {% set view = typed_empty(columns) %}
  {% endif %}
  {% do run_query('create or replace view ' ~ relation ~ ' as ' ~ view) %}
{% endmacro %}

{% macro reference_file(name, needed='nothing') -%}
  {# Rows of reference/<name>.csv, which people keep in the lake, with the columns of the seed of that name; none without
     such a file, and none where nothing is built. In a unit test the seed is not known: `needed` is the column that the
     model takes. #}
  {%- set seed = namespace(columns={}) -%}
  {%- for node in graph.get('nodes', {}).values() if node.resource_type == 'seed' and node.name == name -%}
    {%- set seed.columns = node.columns -%}
  {%- endfor -%}
  {%- set types = {} -%}
  {%- for column in seed.columns.values() -%}
    {%- do types.update({column.name: column.data_type}) -%}
  {%- endfor -%}
  {%- set wanted = types and window_bounds() -%}
  {%- set path = lake_call('lake_reference', ['reference/' ~ name ~ '.csv', tojson(types)]) if wanted else '' -%}
  ({{ files_query([path], []) if path else typed_empty(seed.columns) if types else 'select null as ' ~ needed ~ ' where false' }}) as {{ name }}_file
{%- endmacro %}

{% macro stage_days(relation, partition_by, sort_by, paths) %}
  {{ return(adapter.dispatch('stage_days', 'clicklake')(relation, partition_by, sort_by, paths)) }}
{% endmacro %}

{% macro duckdb__stage_days(relation, partition_by, sort_by, paths) %}
  {# Writes days of a table as Parquet files, day → path; all of it without a partition column. That column stands in the
     path alone: pyarrow and Athena refuse a column that stands in both. #}
  {% set copies %}
    {% for day, path in paths.items() %}
    copy (
      {% if partition_by %}
      select * exclude ({{ adapter.quote(partition_by) }}) from {{ relation }}
      where {{ adapter.quote(partition_by) }} = date '{{ day }}'
      {% else %}
      select * from {{ relation }}
      {% endif %}
      {% if sort_by %}order by {{ sort_by | join(', ') }}{% endif %}
    ) to '{{ path | replace("'", "''") }}' (format parquet, compression zstd, compression_level 1);
    {% endfor %}
  {% endset %}
  {% do run_query(copies) %}
{% endmacro %}

{% macro prepare_staging() %}
  {{ return(adapter.dispatch('prepare_staging', 'clicklake')()) }}
{% endmacro %}

{% macro duckdb__prepare_staging() %}
  {# Before the first day is staged. DuckDB would declare a column `not null` where its statistics know of no null, so
     that a file's schema would depend on its rows: hence without them. #}
  {% do run_query("set disabled_optimizers = 'statistics_propagation'") %}
{% endmacro %}

{% macro lake_call(function, arguments) %}
  {# Calls a function of lake_plugin.py and gives its value. #}
  {% set quoted = [] %}
  {% for argument in arguments %}
    {% do quoted.append("'" ~ (argument | string | replace("'", "''")) ~ "'") %}
  {% endfor %}
  {{ return(run_query('select ' ~ function ~ '(' ~ quoted | join(', ') ~ ')').columns[0].values()[0]) }}
{% endmacro %}
