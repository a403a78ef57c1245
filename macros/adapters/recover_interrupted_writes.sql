{#
    Ends what a run that was killed has begun to write, before anything is read:
    runs at the start of every run. Nothing where an engine's statements happen
    whole or not at all.

    After a kill between the deletion and the insertion of a visitor's sessions
    on Spark, it deletes them again, and inserts them.
#}
{% macro recover_interrupted_writes() -%}
    {{ return(adapter.dispatch('recover_interrupted_writes', 'churn')()) }}
{%- endmacro %}

{% macro default__recover_interrupted_writes() -%}
{%- endmacro %}

{% macro spark__recover_interrupted_writes() -%}
    {%- if execute and flags.WHICH in ['run', 'build'] -%}
        {%- for node in graph.nodes.values()
              if node.resource_type == 'model'
              and node.config.materialized in ['table', 'incremental'] -%}
            {%- set relation = api.Relation.create(
                database=node.database, schema=node.schema,
                identifier=node.alias, type='table'
            ) -%}
            {%- for role in ['kept', 'new'] -%}
                {%- set rows = load_relation(temp_relation(relation, role)) -%}
                {%- if rows is not none -%}
                    {%- do finish_interrupted_write(
                        node, relation, role, temp_relation(relation, role)
                    ) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}


{#
    On Athena, partitions of a Hive table were being overwritten. An Iceberg table
    has no such rows put aside.
#}
{% macro athena__recover_interrupted_writes() -%}
    {%- if execute and flags.WHICH in ['run', 'build'] -%}
        {%- for node in graph.nodes.values()
              if node.resource_type == 'model'
              and node.config.materialized == 'incremental' -%}
            {%- set relation = api.Relation.create(
                database=node.database, schema=node.schema,
                identifier=node.alias, type='table'
            ) -%}
            {%- set rows = temp_relation(relation, 'rows') -%}
            {%- if load_relation(rows) is not none -%}
                {%- do athena_overwrite_from(relation, rows, run_query(
                    'select distinct partition_key from ' ~ rows
                ).columns[0].values() | list) -%}
                {%- do log_interrupted_write(relation) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}


{# One table: what is kept was being put back, what is new was being put in. #}
{% macro finish_interrupted_write(node, relation, role, rows) -%}

    {%- set is_there = load_relation(relation) is not none -%}
    {%- set is_incremental_model = node.config.materialized == 'incremental' -%}

    {%- if role == 'kept' and is_there -%}
        {%- do overwrite_partitions_from(relation, rows) -%}
    {%- elif role == 'new' and is_incremental_model and is_there -%}
        {%- do delete_replaced_rows(relation, rows, node.config.unique_key) -%}
        {%- do run_query(
            insert_new_rows(relation, rows, node.config.unique_key)
        ) -%}
    {%- elif role == 'new' and not is_incremental_model and not is_there -%}
        {%- do adapter.rename_relation(rows, relation) -%}
    {%- endif -%}
    {%- do adapter.drop_relation(rows) -%}
    {%- do log_interrupted_write(relation) -%}

{%- endmacro %}

{% macro log_interrupted_write(relation) -%}
    {%- do log(
        'Ended what an interrupted run had begun to write to ' ~ relation
        ~ '.', info=true
    ) -%}
{%- endmacro %}
