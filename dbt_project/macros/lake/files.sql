{# Parquet files of the lake as views, and tables as files: what differs between engines is dispatched. #}

{% macro lake_files(prefixes) %}
  {# The files below folders of the lake, as paths that DuckDB can read. #}
  {% if not prefixes %}
    {{ return([]) }}
  {% endif %}
  {% set query %}
    select unnest(lake_files(prefix)) as uri
    from (values {% for prefix in prefixes %}('{{ prefix }}'){{ ', ' if not loop.last }}{% endfor %}) as wanted (prefix)
  {% endset %}
  {{ return(run_query(query).columns[0].values() | map('string') | list | sort) }}
{% endmacro %}

{% macro partition_of(uri, column) %}
  {# The value of a `column=value` folder in an address. #}
  {{ return(uri.split('/' ~ column ~ '=')[1].split('/')[0]) }}
{% endmacro %}

{% macro published_files(model_name, partition_by, first=none, last=none) %}
  {# Published days of a model: all, or those from `first` to `last`, both included. #}
  {% set kept = [] %}
  {% for uri in lake_files(['marts/' ~ model_name ~ '/']) %}
    {% set day = partition_of(uri, partition_by) %}
    {% if (first is none or day >= first) and (last is none or day <= last) %}
      {% do kept.append(uri) %}
    {% endif %}
  {% endfor %}
  {{ return(kept) }}
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
    union_by_name = true, hive_partitioning = true,
    hive_types = { {%- for column in partition_columns %}'{{ column }}': date{{ ', ' if not loop.last }}{% endfor -%} }
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

{% macro stage_day(relation, partition_by, day, sort_by, path) %}
  {{ return(adapter.dispatch('stage_day', 'clicklake')(relation, partition_by, day, sort_by, path)) }}
{% endmacro %}

{% macro duckdb__stage_day(relation, partition_by, day, sort_by, path) %}
  {# Writes one day of a table as a Parquet file and gives its rows. The partition column stands in the path
     alone: pyarrow and Athena refuse a column that stands in both. DuckDB would declare a column `not null` where
     its statistics know of no null, so that a file's schema would depend on its rows: hence without them. #}
  {% do run_query("set disabled_optimizers = 'statistics_propagation'") %}
  {% set copy %}
    copy (
      select * exclude ({{ adapter.quote(partition_by) }}) from {{ relation }}
      where {{ adapter.quote(partition_by) }} = date '{{ day }}'
      {% if sort_by %}order by {{ sort_by | join(', ') }}{% endif %}
    ) to '{{ path | replace("'", "''") }}' (format parquet, compression zstd, compression_level 1)
  {% endset %}
  {% set rows = run_query(copy).columns[0].values()[0] | int %}
  {% do run_query('reset disabled_optimizers') %}
  {{ return(rows) }}
{% endmacro %}

{% macro lake_call(function, arguments) %}
  {# Calls a function of lake_plugin.py and gives its value. #}
  {% set quoted = [] %}
  {% for argument in arguments %}
    {% do quoted.append("'" ~ (argument | string | replace("'", "''")) ~ "'") %}
  {% endfor %}
  {{ return(run_query('select ' ~ function ~ '(' ~ quoted | join(', ') ~ ')').columns[0].values()[0]) }}
{% endmacro %}
