{#
    Removes what a killed run has left beside the tables, before anything is read:
    runs at the start of every run. The tables themselves need no recovery, because
    each statement commits completely or not at all. Left-over tables remain, because
    some statements of the adapters work on a second table:

    - Spark: the rows of an incremental Python model (`__dbt_tmp`), and rows that go
      to a Thrift server (`__dbt_rows`);
    - Athena: the rows of an incremental model (`__dbt_tmp`), the staged rows of a
      Python model (`__staged`), and a table that is about to replace another
      (`__ha`, `__bkp`).

    Athena cannot swap two tables in one step. A run that is killed between the two
    renames of dbt-athena leaves no table but `__bkp`, which gets its name back:
    a model may read its own previous rows.
#}
{% macro recover_interrupted_writes() -%}
    {{ return(adapter.dispatch('recover_interrupted_writes', 'churn')()) }}
{%- endmacro %}

{% macro default__recover_interrupted_writes() -%}
{%- endmacro %}

{% macro spark__recover_interrupted_writes() -%}
    {%- do drop_left_over_tables(['__dbt_tmp', '__dbt_rows']) -%}
{%- endmacro %}

{% macro athena__recover_interrupted_writes() -%}
    {%- for relation in relations_of_models() -%}
        {%- set backup = relation.incorporate(
            path={'identifier': relation.identifier ~ '__bkp'}
        ) -%}
        {%- if load_relation(relation) is none
              and load_relation(backup) is not none -%}
            {%- do adapter.rename_relation(backup, relation) -%}
            {%- do log(
                'Restored ' ~ relation ~ ', which an interrupted run had renamed.',
                info=true
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do drop_left_over_tables(['__dbt_tmp', '__staged', '__ha', '__bkp']) -%}
{%- endmacro %}


{# Drops the tables whose names are those of models with one of `suffixes`. #}
{% macro drop_left_over_tables(suffixes) -%}
    {%- for relation in relations_of_models() -%}
        {%- for suffix in suffixes -%}
            {%- set found = load_relation(relation.incorporate(
                path={'identifier': relation.identifier ~ suffix}
            )) -%}
            {%- if found is not none -%}
                {%- do drop_relation(found) -%}
                {%- do log(
                    'Dropped ' ~ found ~ ', which an interrupted run had left.',
                    info=true
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}


{# Returns the tables of this project's models in a run, else an empty list. #}
{% macro relations_of_models() -%}
    {%- set relations = [] -%}
    {%- if execute and flags.WHICH in ['run', 'build'] -%}
        {%- for node in graph.nodes.values()
              if node.resource_type == 'model'
              and node.config.materialized in ['table', 'incremental'] -%}
            {%- do relations.append(api.Relation.create(
                database=node.database, schema=node.schema,
                identifier=node.alias, type='table'
            )) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(relations) }}
{%- endmacro %}
