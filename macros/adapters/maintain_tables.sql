{#
    Merges small files of the models' Iceberg tables, sorts them, and deletes the files
    of old snapshots. Run by hand or weekly:

        dbt run-operation maintain_tables --args '{keep_days: 7}'

    Arguments:
      keep_days: Days whose snapshots are kept. A query that started before that, or a
        rollback to such a snapshot, fails afterwards. The current snapshot is kept.
      models: Names of some models. Default: all.

    Rows do not change, so it can run beside readers, and again after it was killed.
    Not beside `dbt build`, whose writes may conflict with it.
#}
{% macro maintain_tables(keep_days=7, models=none) %}
    {%- if keep_days is not integer or keep_days < 0 -%}
        {{ exceptions.raise_compiler_error(
            'maintain_tables got keep_days `' ~ keep_days
            ~ '`: write a whole number of days.'
        ) }}
    {%- endif -%}
    {%- for node in graph.nodes.values()
          | selectattr('resource_type', 'equalto', 'model')
          | sort(attribute='unique_id')
          if node.config.materialized in ('table', 'incremental')
          and (models is none or node.name in models) -%}
        {%- set table = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if table is not none and not table.is_view -%}
            {%- for statement in maintenance_statements(
                  table, keep_days, sort_column(node)) -%}
                {%- do run_query(statement) -%}
            {%- endfor -%}
            {%- do log('Maintained ' ~ table ~ '.', info=true) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{# Returns the date by whose months a model is partitioned; none if it is not. #}
{% macro sort_column(node) -%}
    {%- set months = modules.re.findall(
        '^month\\((\\w+)\\)$', (node.config.get('partitioned_by') or [''])[0]
    ) -%}
    {{ return(months[0] if months else none) }}
{%- endmacro %}


{# Returns the statements that maintain one table. #}
{% macro maintenance_statements(table, keep_days, column) -%}
    {{ return(adapter.dispatch('maintenance_statements', 'churn')(
        table, keep_days, column
    )) }}
{%- endmacro %}

{% macro default__maintenance_statements(table, keep_days, column) -%}
    {{ exceptions.raise_compiler_error(
        'maintain_tables is for Iceberg tables: the target ' ~ target.name ~ ' on '
        ~ target.type ~ ' needs no maintenance.'
    ) }}
{%- endmacro %}

{% macro spark__maintenance_statements(table, keep_days, column) -%}
    {%- set oldest = modules.datetime.datetime.now(modules.pytz.utc)
        - modules.datetime.timedelta(days=keep_days) -%}
    {{ return([
        "call spark_catalog.system.rewrite_data_files(table => '" ~ table ~ "'"
        ~ (", strategy => 'sort', sort_order => '" ~ column ~ "'" if column else '')
        ~ ", options => map('min-input-files', '2'))",
        "call spark_catalog.system.expire_snapshots(table => '" ~ table
        ~ "', older_than => timestamp '" ~ oldest.strftime('%Y-%m-%d %H:%M:%S.%f')
        ~ "', retain_last => 1)",
    ]) }}
{%- endmacro %}

{% macro athena__maintenance_statements(table, keep_days, column) -%}
    {#- `vacuum` takes the age from the table. -#}
    {{ return([
        'optimize ' ~ table ~ ' rewrite data using bin_pack',
        'alter table ' ~ table.render_hive() ~ ' set tblproperties ('
        ~ "'vacuum_max_snapshot_age_seconds' = '" ~ [keep_days * 86400, 1] | max ~ "')",
        'vacuum ' ~ table,
    ]) }}
{%- endmacro %}
