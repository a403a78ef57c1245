{#
    The latest `processed_at` of a table, as a timestamp literal; a time before all
    others where it has no rows, or is not built yet and only compiled, for the
    documentation or the linter. What a model has yet to take are the rows above
    it that carry a later one.

    A column is the time of a run, not of a record: however old a record is, the
    run that takes it is new.
#}
{% macro high_watermark(relation, column='processed_at') %}

    {%- set latest = watermark_range(relation, column).latest_watermark
        if is_built(relation) else none -%}
    {{ return(timestamp_literal(latest or modules.datetime.datetime(1, 1, 1))) }}

{% endmacro %}


{# The `watermark_range_query` of a table that exists. #}
{% macro watermark_range(relation, column='processed_at') %}

    {{ return(run_query_cached(watermark_range_query(relation, column), relation)[0]) }}

{% endmacro %}


{#
    The column of the rows that this run takes: its start, but always after every
    one that the column `column` of the table has already, even if a clock was
    set back.
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
    The column of what is read from the delivered files now: that of their latest
    offer. All that a run takes carries this one column, in whichever table.
#}
{% macro latest_offer() %}
    {{ return(high_watermark(
        ref('base_clickstream__files'), 'processed_at'
    )) }}
{% endmacro %}


{% macro timestamp_literal(instant) %}
    {{ return(
        "cast('" ~ instant.isoformat(' ', 'microseconds') ~ "' as "
        ~ dbt.type_timestamp() ~ ')'
    ) }}
{% endmacro %}
