{# on-run-end: publishes what was built and passed its tests; the rest goes to quarantine, and the last good files
   stand. One file, one atomic put for each model and day: a run that dies in between has published some whole
   days, and the next run does the others. #}

{% macro publish_lake(results) %}
  {% if execute and flags.WHICH in ('build', 'run') %}
    {% set by_id = {} %}
    {% for result in results if result.node %}
      {% do by_id.update({result.node.unique_id: result}) %}
    {% endfor %}
    {% do report_results(by_id) %}
    {% set verdicts = {} %}
    {# In the order in which they were built: a model comes after those that it reads. #}
    {% for id, result in by_id.items() if id in graph.nodes and is_lake_table(graph.nodes[id]) %}
      {% set node = graph.nodes[id] %}
      {% set judged = verdict_on(node, by_id, verdicts) %}
      {% do verdicts.update({id: judged}) %}
      {% if judged.status != 'published' %}
        {% set messages = judged.reasons | map(attribute='message') | join('; ') %}
        {% do exceptions.warn(node.name ~ ' is not published: ' ~ messages) %}
      {% endif %}
      {% set absent = absent_days(node) if judged.status == 'published' else {} %}
      {% set good = [] %}
      {% set others = [] %}
      {% for day in (built_days(node) + window_days()) | unique | sort %}
        {% set of_day = absent.get(day, judged) %}
        {% set entry = {
          'model': node.name, 'day': day, 'status': of_day.status, 'rows': none, 'bytes': none, 'seconds': 0,
          'reasons': of_day.reasons
        } %}
        {% if of_day.status == 'published' %}
          {% do good.append(entry) %}
        {% elif of_day.status == 'refused' %}
          {% do quarantine_day(node, entry, result.status == 'success') %}
        {% else %}
          {% do others.append(entry) %}
        {% endif %}
      {% endfor %}
      {% do report(others) if others %}
      {% do publish_days(node, good) if good %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro verdict_on(node, by_id, verdicts) %}
  {# published: built, every blocking test passed, and all it was made from is published.
     refused: it could not be built or a test failed. skipped: nobody can tell, because something above it
     failed or a test did not run. #}
  {% set result = by_id[node.unique_id] %}
  {% if result.status == 'error' %}
    {{ return(verdict('refused', [reason(node.name, result.message, none)])) }}
  {% elif result.status != 'success' %}
    {{ return(verdict('skipped', failures_above(node, by_id))) }}
  {% endif %}

  {% set failed = [] %}
  {% set missing = [] %}
  {% for id in blocking_tests(node.unique_id) %}
    {% set test = by_id.get(id) %}
    {% if test is none or test.status == 'skipped' %}
      {% do missing.append(reason(graph.nodes[id].name, 'test ' ~ graph.nodes[id].name ~ ' did not run', none)) %}
    {% elif test.status in ('fail', 'error') %}
      {% set message = graph.nodes[id].name ~ ': ' ~ test.message %}
      {% do failed.append(reason(graph.nodes[id].name, message, test.failures)) %}
    {% endif %}
  {% endfor %}
  {% if failed %}
    {{ return(verdict('refused', failed)) }}
  {% elif missing and missing | length == blocking_tests(node.unique_id) | length %}
    {% set message = 'none of its tests ran. Use dbt build, which tests what it builds' %}
    {{ return(verdict('skipped', [reason(node.name, message, none)])) }}
  {% elif missing %}
    {{ return(verdict('skipped', missing)) }}
  {% elif flags.EMPTY %}
    {{ return(verdict('skipped', [reason(node.name, 'it was built with --empty', none)])) }}
  {% endif %}

  {% for id in ancestors(node.unique_id) if id in verdicts and verdicts[id].status != 'published' %}
    {% set name = graph.nodes[id].name %}
    {{ return(verdict('skipped', [reason(name, name ~ ', which it is made from, is not published', none)])) }}
  {% endfor %}
  {{ return(verdict('published', [])) }}
{% endmacro %}

{% macro absent_days(node) %}
  {# The days of the window without raw files of a source that a model is made from, each with its verdict. #}
  {% set days = {} %}
  {% set above = ancestors(node.unique_id) %}
  {% for id in above if id in graph.sources %}
    {% for day in run_state('absent_days').get(id, []) %}
      {% set dataset = graph.sources[id].identifier %}
      {% set message = 'raw ' ~ dataset ~ ' has nothing published of source date ' ~ day %}
      {% do exceptions.warn(node.name ~ ' ' ~ day ~ ' is not published: ' ~ message) if day not in days %}
      {% do days.update({day: verdict('absent', [reason(dataset, message, none)])}) %}
    {% endfor %}
  {% endfor %}
  {{ return(days) }}
{% endmacro %}

{% macro verdict(status, reasons) %}
  {{ return({'status': status, 'reasons': reasons}) }}
{% endmacro %}

{% macro reason(check, message, failures) %}
  {{ return({'check': check, 'message': message | string, 'failures': failures}) }}
{% endmacro %}

{% macro failures_above(node, by_id) %}
  {# What failed among all that a skipped model is made from, and among the tests of that. #}
  {% set above = ancestors(node.unique_id) %}
  {% set found = [] %}
  {% for id, result in by_id.items() if result.status in ('fail', 'error') %}
    {% set node_of_result = graph.nodes.get(id) %}
    {% set is_test = node_of_result and node_of_result.resource_type == 'test' %}
    {% set tested = node_of_result.depends_on.nodes if is_test else [] %}
    {% if id in above or tested | select('in', above) | list %}
      {% do found.append(reason(result.node.name, result.node.name ~ ': ' ~ result.message, result.failures)) %}
    {% endif %}
  {% endfor %}
  {{ return(found or [reason(node.name, 'dbt did not build it', none)]) }}
{% endmacro %}

{% macro ancestors(id) %}
  {# Everything that a node is made from, nearest first. #}
  {% set known = run_state('ancestors') %}
  {% if id in known %}
    {{ return(known[id]) }}
  {% endif %}
  {% set found = [] %}
  {% for parent in graph.nodes[id].depends_on.nodes %}
    {% do found.append(parent) %}
  {% endfor %}
  {% for ancestor in found if ancestor in graph.nodes %}
    {% for parent in graph.nodes[ancestor].depends_on.nodes if parent not in found %}
      {% do found.append(parent) %}
    {% endfor %}
  {% endfor %}
  {% do known.update({id: found}) %}
  {{ return(found) }}
{% endmacro %}

{% macro staged_path(node, day) %}
  {% set state = run_state('staging') %}
  {% if not state %}
    {% do state.update({'folder': lake_call('lake_stage', [])}) %}
    {% do prepare_staging() %}
  {% endif %}
  {{ return(state.folder ~ '/' ~ node.name ~ '-' ~ day ~ '.parquet') }}
{% endmacro %}

{% macro publish_days(node, entries) %}
  {# Each day is one atomic put, and reported at once: if the next one cannot be written, whoever reads the report still
     learns what is published. dbt is asked once for all days, since a question costs it more than a small file. #}
  {% set paths = {} %}
  {% set files = [] %}
  {% for entry in entries %}
    {% set is_there = is_snapshot(node) and files %}
    {% if not is_there %}
      {% do paths.update({entry.day: staged_path(node, entry.day)}) %}
      {# What a snapshot refused on any day is settled by a good one: it is of all days. #}
      {% do files.append({
        'staged': paths[entry.day], 'key': mart_key(node, entry.day), 'entries': [],
        'settles': 'quarantine/' ~ node.name if is_snapshot(node) else quarantine_folder(node, entry.day)
      }) %}
    {% endif %}
    {% do files[-1].entries.append(entry) %}
  {% endfor %}
  {% do stage_days(audit_relation(node), node.config.get('partition_by'), node.config.get('sort_by'), paths) %}
  {% set sums = fromjson(lake_call('lake_publish', [tojson(files), report_path()])) %}
  {% set span = entries[0].day ~ (' … ' ~ entries[-1].day if entries | length > 1 else '') %}
  {% do log('Published ' ~ node.name ~ ' ' ~ span ~ ': ' ~ sums.rows ~ ' rows, ' ~ sums.bytes ~ ' bytes', info=true) %}
{% endmacro %}

{% macro quarantine_day(node, entry, is_built) %}
  {# The refused rows and why, for people to look at. Old rows go first: the verdict never names others. #}
  {% set started = modules.datetime.datetime.now() %}
  {% set folder = quarantine_folder(node, entry.day) %}
  {% do lake_call('lake_delete', [folder]) %}
  {% if is_built %}
    {% set staged = staged_path(node, entry.day) %}
    {% do stage_days(
      audit_relation(node), node.config.get('partition_by'), node.config.get('sort_by'), {entry.day: staged}
    ) %}
    {% do entry.update(fromjson(lake_call('lake_put', [staged, folder ~ '/rows/data.parquet']))) %}
  {% endif %}
  {% set text = tojson({'table': node.name, 'day': entry.day, 'reasons': entry.reasons, 'run': invocation_id}) %}
  {% do lake_call('lake_put_text', [text, folder ~ '/verdict.json']) %}
  {% do entry.update({'seconds': (modules.datetime.datetime.now() - started).total_seconds()}) %}
  {% do report([entry]) %}
{% endmacro %}

{% macro quarantine_folder(node, day) %}
  {{ return('quarantine/' ~ node.name ~ '/day=' ~ day) }}
{% endmacro %}

{% macro report(entries) %}
  {# Tells whoever started the run. The first call of a run begins the report anew, each later one goes on with it. #}
  {% do lake_call('lake_report', [tojson(entries), report_path()]) %}
{% endmacro %}

{% macro report_path() %}
  {{ return((flags.TARGET_PATH or 'target') ~ '/clicklake_publish.jsonl') }}
{% endmacro %}

{% macro report_results(by_id) %}
  {# What became of each node, which dbt itself would write only with its whole manifest, in a second and a half. #}
  {% set entries = [] %}
  {% for id, result in by_id.items() %}
    {% do entries.append({
      'node': id, 'name': result.node.name, 'status': result.status | string,
      'is_lake_table': id in graph.nodes and is_lake_table(graph.nodes[id]),
      'failures': result.failures, 'message': result.message, 'seconds': result.execution_time
    }) %}
  {% endfor %}
  {% do report(entries) %}
{% endmacro %}
