{#
    Makes the CSV file at `path` readable to an engine that cannot see this
    machine's files, as the table `<relation>__csv` of texts; the statement of
    `select_staged_csv` reads it with the given columns' types, and
    `drop_staged_csv` removes it. An empty field is null, an empty text in quotes
    is not.

    For Athena: the file is staged in S3 as Parquet, since Athena's own reader of
    CSV splits texts at line ends and unescapes backslashes.
#}
{% macro stage_csv(relation, path, columns) -%}
    {%- do churn.drop_staged_csv(relation) -%}
    {%- do adapter.stage_csv(churn.staged_csv(relation), path) -%}
{%- endmacro %}


{% macro staged_csv(relation) -%}
    {{ return(relation.incorporate(
        path={'identifier': relation.identifier ~ '__csv'}, type='table'
    )) }}
{%- endmacro %}


{% macro select_staged_csv(relation, columns) -%}
    select
    {%- for column in columns %}
        cast({{ column.name }} as {{
            'timestamp(6)' if column.data_type == 'timestamp'
            else column.data_type
        }}) as {{ column.name }}{{ ',' if not loop.last }}
    {%- endfor %}
    from {{ churn.staged_csv(relation) }}
{%- endmacro %}


{% macro drop_staged_csv(relation) -%}
    {%- do drop_relation(churn.staged_csv(relation)) -%}
{%- endmacro %}
