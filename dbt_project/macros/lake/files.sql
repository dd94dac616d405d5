{# Parquet files of the lake as views, and tables as files: what differs between engines is dispatched. #}

{% macro is_snapshot(node) %}
  {# A lake_table that is not of days: one file, always of the whole history. #}
  {{ return(not node.config.get('partition_by')) }}
{% endmacro %}

{% macro partition_columns(node) %}
  {{ return([] if is_snapshot(node) else [node.config.partition_by]) }}
{% endmacro %}

{% macro published_rows(model_name, days_before) -%}
  {# Rows of a model's published days that a run does not build, from so many days before the first that it builds
     on; for a model that is made from its own past, which dbt cannot `ref`. #}
  {%- set asked = {'ask': 'before', 'of': model_name, 'days': days_before} -%}
  {%- set answer = lake_days(asked) if has_days() else {} -%}
  {%- if answer.files -%}
    ({{ files_query(answer.files, [answer.partition_by]) }}) as published_rows
  {%- else -%}
    {%- set known = namespace(columns={}) -%}
    {%- for node in graph.get('nodes', {}).values() if execute and node.resource_type == 'model' and node.name == model_name -%}
      {%- set known.columns = node.columns -%}
    {%- endfor -%}
    ({{ typed_empty(known.columns) if known.columns else 'select null as ' ~ needed ~ ' where false' }}) as published_rows
  {%- endif -%}
{%- endmacro %}

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
  {%- set wanted = types and planned().window -%}
  {%- set path = lake_call('lake_reference', ['reference/' ~ name ~ '.csv', tojson(types)]) if wanted else '' -%}
  ({{ files_query([path], []) if path else typed_empty(seed.columns) if types else 'select null as ' ~ needed ~ ' where false' }}) as {{ name }}_file
{%- endmacro %}

{% macro stage_days(node, paths) %}
  {# Writes days of a lake_table as Parquet files, day → path; all of it of a snapshot. #}
  {% if paths %}
    {{ adapter.dispatch('stage_days', 'clicklake')(
      audit_relation(node), node.config.get('partition_by'), node.config.get('sort_by'), paths
    ) }}
  {% endif %}
{% endmacro %}

{% macro duckdb__stage_days(relation, partition_by, sort_by, paths) %}
  {# The partition column stands in the path alone: pyarrow and Athena refuse a column that stands in both. DuckDB would
     declare a column `not null` where its statistics know of no null, so that a file's schema would depend on its rows:
     hence without them. #}
  {% set copies %}
    set disabled_optimizers = 'statistics_propagation';
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
