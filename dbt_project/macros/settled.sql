{# The summary of identities: its parts are files of rows in `cluster`s; see planning/settled.py. Where the run reads no
   summary, they have no rows. #}

{% macro columns_of_settled() %}
  {{ return({
    'clusters': {'node_number': 'ubigint', 'cluster': 'bigint', 'is_active': 'boolean'},
    'shared': {'cluster': 'bigint', 'node_key': 'varchar'},
    'node_days': {
      'cluster': 'bigint', 'session_date': 'date', 'node_key': 'varchar', 'node_type': 'varchar', 'site_id': 'varchar',
      'subnet_hash': 'varchar', 'first_seen': 'timestamp', 'last_seen': 'timestamp', 'events': 'bigint',
      'sessions': 'bigint'
    },
    'edge_days': {
      'cluster': 'bigint', 'shared_cluster': 'bigint', 'session_date': 'date', 'node_a': 'varchar', 'node_b': 'varchar',
      'first_seen': 'timestamp', 'first_event_id': 'varchar', 'site_id': 'varchar', 'tenant_id': 'varchar'
    },
    'identity_map': {
      'cluster': 'bigint', 'node_key': 'varchar', 'node_type': 'varchar', 'identity_id': 'varchar', 'confidence': 'double',
      'is_shared': 'boolean', 'first_seen': 'timestamp', 'last_seen': 'timestamp', 'events': 'bigint',
      'sessions': 'bigint'
    },
    'identity_changes': {
      'cluster': 'bigint', 'effective_at': 'timestamp', 'node_key': 'varchar', 'from_identity_id': 'varchar', 'to_identity_id': 'varchar',
      'bridge_node_a': 'varchar', 'bridge_node_b': 'varchar', 'reason': 'varchar', 'confidence': 'double',
      'site_id': 'varchar', 'tenant_id': 'varchar', 'event_id': 'varchar'
    },
    'dim_users': {
      'cluster': 'bigint', 'identity_id': 'varchar', 'user_id': 'varchar', 'confidence': 'double', 'is_shared': 'boolean',
      'first_seen': 'timestamp', 'last_seen': 'timestamp', 'first_date': 'date', 'last_date': 'date',
      'sessions': 'bigint', 'sites': 'bigint', 'nodes': 'bigint', 'user_ids': 'bigint', 'visitor_ids': 'bigint',
      'device_ids': 'bigint'
    },
    'networks': {'cluster': 'bigint', 'identity_id': 'varchar', 'subnet_hash': 'varchar', 'days_there': 'bigint'}
  }) }}
{% endmacro %}

{% macro settled_rows(part) -%}
  {%- set file = planned().settled[part] if planned().settled -%}
  (
  {%- if file -%}
    {{ files_query([file], []) }}
  {%- else -%}
    select
    {%- for name, type in columns_of_settled()[part].items() %}
      cast(null as {{ type }}) as {{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
    where false
  {%- endif -%}
  )
{%- endmacro %}

{% macro settled_and_untouched(part) -%}
  {# The settled rows of a mart that are as they were. #}
  select
    {%- for name in columns_of_settled()[part] if name != 'cluster' %}
    settled.{{ name }}{{ ',' if not loop.last }}
    {%- endfor %}
  from {{ settled_rows(part) }} as settled
  where settled.cluster not in (select clusters.cluster from {{ ref('int_identity_clusters') }} as clusters)
{%- endmacro %}

{% macro settles(day) -%}
  {# Whether a day is among those that this run sums up. #}
  {%- set through = planned().settles_through -%}
  {{ day ~ " <= date '" ~ through ~ "'" if through else 'false' }}
{%- endmacro %}

{% macro settle_identities() %}
  {# on-run-end: writes the parts of a new summary, after the run has published what it is made of: of the clusters that
     the run has solved, and, where it read a summary, of the others as they were. A cluster is active if it was seen
     after the summary's last day: the summary has no rows of the marts for it. A shared node keeps its cluster, because
     edges in other clusters name it. #}
  {% set paths = lake_answer('settling', {}).paths if execute and planned().settles_through else {} %}
  {% if paths %}
    {% set through = "date '" ~ planned().settles_through ~ "'" %}
    {% call statement('settling') %}
      create or replace temporary table settling as
      select
        nodes.node_key,
        {{ identity_id('nodes.node_key') }} as identity_id,
        coalesce(shared.cluster, graph.cluster + last_one.number + 1) as cluster,
        graph.was_shared,
        bool_or(nodes.last_date > {{ through }}) over (partition by graph.cluster) as is_active
      from {{ built_relation('int_identity_graph') }} as graph
      cross join (
        select coalesce(max(cluster), -1) as number from {{ settled_rows('clusters') }} as clusters
      ) as last_one
      inner join {{ built_relation('int_identity_nodes') }} as nodes on graph.node_number = nodes.node_number
      left join {{ settled_rows('shared') }} as shared on nodes.node_key = shared.node_key
      where graph.cluster is not null
    {% endcall %}
    {# An edge lies in the cluster of both nodes, or in that of the one that is not shared. #}
    {% set edge_days %}
      select
        case when a.was_shared then b.cluster else a.cluster end as cluster,
        case when a.was_shared then a.cluster when b.was_shared then b.cluster end as shared_cluster,
        days.*
      from {{ built_relation('int_identity_edge_days') }} as days
      inner join settling as a on days.node_a = a.node_key
      inner join settling as b on days.node_b = b.node_key
      where not (a.was_shared and b.was_shared) and days.session_date <= {{ through }}
      order by cluster
    {% endset %}
    {% set queries = {
      'clusters': 'select ' ~ md5_small_number('node_key') ~ ' as node_number, cluster, is_active from settling',
      'shared': 'select cluster, node_key from settling where was_shared',
      'node_days': of_settling('int_identity_node_days', 'node_key')
        ~ ' where found.session_date <= ' ~ through ~ ' order by settling.cluster',
      'edge_days': edge_days
    } %}
    {% for part in paths if part not in queries %}
      {% set key = 'node_key' if 'node_key' in columns_of_settled()[part] else 'identity_id' %}
      {% set model = 'int_identity_networks' if part == 'networks' else part %}
      {% do queries.update({part: of_settling(model, key) ~ ' where not settling.is_active'}) %}
    {% endfor %}
    {% for part, path in paths.items() %}
      {% set before %}
        from {{ settled_rows(part) }} as settled
        where cluster not in (select cluster from {{ built_relation('int_identity_clusters') }})
      {% endset %}
      {% do run_query(
        'copy (' ~ before ~ ' union all by name (' ~ queries[part] ~ ')) to ' ~ quoted_list([path])
        ~ ' (format parquet, compression zstd, compression_level 1)'
      ) %}
    {% endfor %}
    {% do lake_answer('settle', {'paths': paths}) %}
  {% endif %}
{% endmacro %}

{% macro of_settling(model_name, key) -%}
  select settling.cluster, found.*
  from {{ built_relation(model_name) }} as found
  inner join settling on found.{{ key }} = settling.{{ key }}
{%- endmacro %}

{% macro built_relation(name) %}
  {{ return(relation_of(graph.nodes.values() | selectattr('name', 'equalto', name) | first) | string) }}
{% endmacro %}
