{#
    Returns the latest value of `column` in a table as a timestamp literal. Returns
    0001-01-01 if the table is empty or does not exist. An incremental model reads
    the rows of its inputs that are above its own watermark.

    The column holds the time of a dbt run, not of a record, so late records are
    above the watermark too.
#}
{% macro high_watermark(relation, column='processed_at') %}

    {%- set latest = watermark_range(relation, column).latest_watermark
        if is_built(relation) else none -%}
    {{ return(timestamp_literal(latest or modules.datetime.datetime(1, 1, 1))) }}

{% endmacro %}


{#
    Returns the first and latest value of `column` in a table that exists, from
    `watermark_range_query`.
#}
{% macro watermark_range(relation, column='processed_at') %}

    {{ return(run_query_cached(watermark_range_query(relation, column), relation)[0]) }}

{% endmacro %}


{#
    Returns the time of this run as a timestamp literal. It is always later than
    every value of `column` in the current table, even if the clock was set back.
#}
{% macro run_timestamp(column) %}

    {%- set run_timestamp = run_started_at.replace(tzinfo=none) -%}
    {%- if execute and is_incremental() -%}
        {%- set latest = watermark_range(this, column).latest_watermark -%}
        {%- if latest and latest >= run_timestamp -%}
            {%- set run_timestamp =
                latest + modules.datetime.timedelta(microseconds=1) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(timestamp_literal(run_timestamp)) }}

{% endmacro %}


{#
    Returns a Python datetime as a timestamp literal with microseconds.
#}
{% macro timestamp_literal(instant) %}
    {{ return(
        "cast('" ~ instant.isoformat(' ', 'microseconds') ~ "' as "
        ~ dbt.type_timestamp() ~ ')'
    ) }}
{% endmacro %}


{#
    Returns the query for the least and greatest `column` of a table:
    `first_watermark` and `latest_watermark`, null if there are no rows. Values of
    deleted rows may still count.

    On Athena it reads the metadata of the Iceberg table, because Athena bills the
    bytes that a query reads.
#}
{% macro watermark_range_query(relation, column) -%}
    {{ return(adapter.dispatch('watermark_range_query', 'churn')(relation, column)) }}
{%- endmacro %}

{% macro default__watermark_range_query(relation, column) -%}
    select
        min({{ column }}) as first_watermark,
        max({{ column }}) as latest_watermark
    from {{ relation }}
{%- endmacro %}

{% macro athena__watermark_range_query(relation, column) -%}
    select
        min(data.{{ column }}."min") as first_watermark,
        max(data.{{ column }}."max") as latest_watermark
    from {{ relation.incorporate(
        path={'identifier': relation.identifier ~ '$partitions'}
    ) }}
{%- endmacro %}
