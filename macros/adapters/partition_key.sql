{#
    The text by which an engine that replaces files, not rows, partitions an
    incremental table whose rows are replaced by `unique_key` (a column or a
    list of them); none where rows can be deleted.

    What is replaced together should lie together, in partitions that are
    neither many nor large: events by the day of their receipt, since they come
    again within days; what is made per day, as-of date or batch by the month; all
    else in 16 parts by the first digit of the key's digest. Athena lists and opens
    the files of a partition for each query, for seconds where there are hundreds:
    there events lie by the month, too.

    partition_key('visitor_id') is none on DuckDB, and for Parquet tables of
    Spark and Hive tables of Athena one of '0' to '9' and 'a' to 'f'.
#}
{% macro partition_key(unique_key) -%}
    {{ return(adapter.dispatch('partition_key', 'churn')(unique_key)) }}
{%- endmacro %}

{% macro default__partition_key(unique_key) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro spark__partition_key(unique_key) -%}
    {%- if spark_file_format() in ['delta', 'iceberg'] -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(partition_key_of_files(unique_key)) }}
{%- endmacro %}

{% macro athena__partition_key(unique_key) -%}
    {%- if resolve_table_type() == 'iceberg' -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(partition_key_of_files(unique_key, receipts_by='month')) }}
{%- endmacro %}


{#
    The key itself, as every engine without deletion has it. `receipts_by` says
    whether events lie by the `day` or the `month` of their receipt.
#}
{% macro partition_key_of_files(unique_key, receipts_by='day') -%}
    {%- set columns = [unique_key] if unique_key is string else unique_key -%}
    {%- set text = dbt.type_string() -%}
    {%- set days = [
        'as_of_date', 'batch_date', 'start_date', 'activity_date', 'receipt_date'
    ] -%}
    {%- set months = [] -%}
    {%- for column in columns if column in days -%}
        {%- do months.append(
            'substr(cast(' ~ column ~ ' as ' ~ text ~ '), 1, 7)'
        ) -%}
    {%- endfor -%}
    {%- if 'received_date' in columns -%}
        {%- set key = 'substr(cast(received_date as ' ~ text ~ '), 1, '
            ~ (7 if receipts_by == 'month' else 10) ~ ')' -%}
    {%- elif months -%}
        {%- set key = months[0] -%}
    {%- else -%}
        {%- set key = 'substr(' ~ dbt.hash(
            'cast(' ~ columns[0] ~ ' as ' ~ text ~ ')'
        ) ~ ', 1, 1)' -%}
    {%- endif -%}
    {{ return("coalesce(" ~ key ~ ", 'none')") }}
{%- endmacro %}


{#
    The configuration `partitioned_by` of an incremental table whose rows lie by
    the month of `column`, so that a daily run passes over most of its history
    unread: for Iceberg tables of Athena. Where files are replaced, they are
    partitioned by `partition_key`; other engines need none.

    partitioned_by_month('received_date') is ['month(received_date)'].
#}
{% macro partitioned_by_month(column) -%}
    {{ return(adapter.dispatch('partitioned_by_month', 'churn')(column)) }}
{%- endmacro %}

{% macro default__partitioned_by_month(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro athena__partitioned_by_month(column) -%}
    {{ return(
        ['month(' ~ column ~ ')'] if var('athena_table_type') == 'iceberg'
        else ['partition_key']
    ) }}
{%- endmacro %}
