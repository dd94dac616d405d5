{# lake_table: write, audit, publish, for a model with one file a day.

   The built days are a table in schema `audit`. A view with the model's name shows this table and the published
   days around the window that the model asks for; tests and models below read the view. None of the built rows is
   in the lake yet: on-run-end publishes the days that passed their tests (publish.sql).

   In memory, tables are not compressed, and those of a large day would fill it. So a table with many rows is written to
   the files of its days at once, and read from them; one day of a model that is known to be large is written to its
   file without a table before it. A small table stays in memory, because a file costs each query that opens it.

   config:
     partition_by     date column, one file for each of its days; without it the model is a snapshot: one file of the
                      whole history, replaced by every run
     sort_by          columns to sort a file by, so that the same rows give the same file
     neighbour_days   published days before and after the window that the view shows as well, 'all', or
                      'unsettled', which are all after those that are summed up (planning/settled.py);
                      0 unless models below need them, because each costs an open file in every query
     is_large         whether one day has many rows where there is much traffic; needs a contract
     rows_in_memory   rows up to which the built days stay in memory; 100,000
     restates         {before: 1, after: 30}: the published days around the window that are built again with it,
                      because their rows depend on the window's (planning/plan.py) #}

{% materialization lake_table, adapter='duckdb' %}
  {% set partition_by = config.get('partition_by') %}
  {% set view_relation = this.incorporate(type='view') %}
  {% set table_relation = audit_relation(model) %}
  {% set neighbours = planned().neighbours.get(model.name, []) %}

  {{ run_hooks(pre_hooks) }}
  {% set standing = load_cached_relation(this) %}
  {% do adapter.drop_relation(standing) if standing is not none and standing.is_table %}
  {% set days = (planned().window + planned().built.get(model.name, [])) | unique | list %}
  {% set is_direct = config.get('is_large') and days | length == 1 %}
  {% set strays_are = ' have a ' ~ partition_by ~ ' outside the days to be built, or none. A lake_table yields rows of '
    'these days only' %}
  {% if is_direct %}
    {% set paths = lake_answer('staging', {'model': model.name}) %}
    {% do get_assert_columns_equivalent(sql) %}
    {# Not a condition of its own: engines leave out one that another one contains. #}
    {% set stray = quoted_list(['Rows of ' ~ model.name ~ strays_are]) %}
    {% set rows %}(
      select * replace (
        case when {{ partition_by }} = date '{{ days | first }}' then {{ partition_by }} else error({{ stray }}) end
        as {{ partition_by }}
      )
      from ({{ get_select_subquery(sql) }})
    ){% endset %}
    {% do stage_days(model, paths, rows) %}
    {% call statement('main') %}
      {{ view_of_files(view_relation, model.columns.values() | map(attribute='name'), paths, neighbours) }}
    {% endcall %}
  {% else %}
    {# One query instead of three, because each takes dbt some ten milliseconds. #}
    {% call statement('main') %}
      drop table if exists {{ table_relation }} cascade;
      {{ get_create_table_as_sql(False, table_relation, sql) }};
      create or replace view {{ view_relation }} as
      select * from {{ table_relation }}
      {{ 'union all by name' ~ files_query(neighbours, [partition_by]) if neighbours }}
    {% endcall %}
  {% endif %}
  {% if partition_by and not is_direct %}
    {% set is_built = in_built_days(model.name, partition_by) %}
    {% set rows, strays = run_query(
      'select count(*), count(case when ' ~ is_built ~ ' then null else 1 end) from ' ~ table_relation
    ).rows[0] %}
    {# A row outside the built days would be in no file, and would be lost without notice. #}
    {% do exceptions.raise_compiler_error(strays ~ ' rows of ' ~ model.name ~ strays_are) if strays %}
    {% if rows > config.get('rows_in_memory', 100000) %}
      {% set paths = lake_answer('staging', {'model': model.name}) %}
      {% do stage_days(model, paths, table_relation) %}
      {% set columns = adapter.get_columns_in_relation(table_relation) | map(attribute='name') %}
      {% do run_query(view_of_files(view_relation, columns, paths, neighbours) ~ '; drop table ' ~ table_relation) %}
    {% endif %}
  {% endif %}
  {{ run_hooks(post_hooks) }}
  {{ adapter.commit() }}

  {{ return({'relations': [view_relation]}) }}
{% endmaterialization %}

{% macro audit_relation(node) %}
  {{ return(relation_of(node, schema='audit', type='table')) }}
{% endmacro %}

{% macro view_of_files(relation, columns, paths, neighbours) %}
  {# Columns by name: in a query over files, the day comes last. #}
  create or replace view {{ relation }} as
  select {% for column in columns %}{{ adapter.quote(column) }}{{ ', ' if not loop.last }}{% endfor %}
  from ({{ files_query(paths.values() | list + neighbours, [config.get('partition_by')]) }})
{% endmacro %}
