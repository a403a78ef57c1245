{#
    The text by which an engine that replaces files, not rows, partitions an
    incremental table whose rows are replaced by `unique_key` (a column or a
    list of them); none where rows can be deleted.

    What is replaced together should lie together, in partitions that are
    neither many nor large: events by the day of their receipt, since they come
    again within days; what is made per day, as-of date or batch by the month; all
    else in 16 parts by the first digit of the key's digest.

    partition_key('visitor_id') is none on DuckDB, and on Spark one of '0' to
    '9' and 'a' to 'f'.
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


{# The key itself, as every engine without deletion has it. #}
{% macro partition_key_of_files(unique_key) -%}
    {%- set columns = [unique_key] if unique_key is string else unique_key -%}
    {%- set text = dbt.type_string() -%}
    {%- set days = [
        'as_of_date', 'batch_date', 'started_on', 'activity_date', 'receipt_day'
    ] -%}
    {%- set months = [] -%}
    {%- for column in columns if column in days -%}
        {%- do months.append(
            'substr(cast(' ~ column ~ ' as ' ~ text ~ '), 1, 7)'
        ) -%}
    {%- endfor -%}
    {%- if 'received_on' in columns -%}
        {%- set key =
            'cast(received_on as ' ~ text ~ ')' -%}
    {%- elif months -%}
        {%- set key = months[0] -%}
    {%- else -%}
        {%- set key = 'substr(' ~ md5_text(
            'cast(' ~ columns[0] ~ ' as ' ~ text ~ ')'
        ) ~ ', 1, 1)' -%}
    {%- endif -%}
    {{ return("coalesce(" ~ key ~ ", 'none')") }}
{%- endmacro %}
