{# Reads Parquet files of the lake as views, and writes tables as files; dispatched by engine. #}

{% macro typed_rows(columns, present=[], rows=none) %}
  select
    {%- for column in columns.values() %}
    {%- set name = adapter.quote(column.name) %}
    cast({{ name if column.name in present else 'null' }} as {{ column.data_type }}) as {{ name }}
    {{- ',' if not loop.last }}
    {%- endfor %}
  {{ 'from ' ~ rows if rows else 'where false' }}
{% endmacro %}

{% macro relation_of(node, schema=none, type=none) %}
  {{ return(api.Relation.create(
    database=node.database, schema=schema or node.schema, identifier=node.alias or node.identifier, type=type
  )) }}
{% endmacro %}

{% macro published_rows(model_name, days_before) -%}
  {%- set asked = {'model': model_name, 'days': days_before} -%}
  {%- set found = lake_answer('files_before', asked) if has_days() else {} -%}
  {#- A unit test knows no nodes. -#}
  {%- set nodes = graph.get('nodes', {}).values() | selectattr('name', 'equalto', model_name) | list -%}
  (
  {%- if found.files -%}
    {{ files_query(found.files, found.partitioned_by) }}
  {%- else -%}
    {{ typed_rows(nodes[0].columns) if nodes else 'select null as nothing where false' }}
  {%- endif -%}
  ) as {{ model_name }}_rows
{%- endmacro %}

{% macro files_query(uris, partitioned_by) %}
  {{ return(adapter.dispatch('files_query', 'clicklake')(uris, partitioned_by)) }}
{% endmacro %}

{% macro duckdb__files_query(uris, partitioned_by) %}
  {# By name, so that files from before a column was added read as null in it. #}
  select * from read_parquet(
    [{{ quoted_list(uris) }}],
    union_by_name = true
    {%- if partitioned_by %}, hive_partitioning = true,
    hive_types = { {%- for column in partitioned_by %}'{{ column }}': date{{ ', ' if not loop.last }}{% endfor -%} }
    {%- endif %}
  )
{% endmacro %}

{% macro stage_days(node, paths, rows) %}
  {# Writes the rows of each day to its path; day → path. #}
  {{ return(adapter.dispatch('stage_days', 'clicklake')(node, paths, rows)) }}
{% endmacro %}

{% macro duckdb__stage_days(node, paths, rows) %}
  {# The partition column stands in the path alone: pyarrow and Athena refuse a column that stands in both. With
     statistics, DuckDB declares a column without nulls as `not null`, and a file's schema would depend on its rows. #}
  {% set day_column = adapter.quote(node.config.partition_by) if node.config.get('partition_by') %}
  {% set copies %}
    set disabled_optimizers = 'statistics_propagation';
    {% for day, path in paths.items() %}
    copy (
      select * {{ 'exclude (' ~ day_column ~ ')' if day_column }} from {{ rows }}
      {{ 'where ' ~ day_column ~ " = date '" ~ day ~ "'" if day_column }}
      {% if node.config.get('sort_by') %}order by {{ node.config.sort_by | join(', ') }}{% endif %}
    ) to {{ quoted_list([path]) }} (
      format parquet, compression zstd, compression_level 1,
      kv_metadata { {%- for name, value in planned().metadata.items() %}{{ name }}: {{ quoted_list([value]) }}{% endfor -%} }
    );
    {% endfor %}
    reset disabled_optimizers;
  {% endset %}
  {% do run_query(copies) %}
{% endmacro %}
