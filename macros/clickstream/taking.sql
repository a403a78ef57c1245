{#
    The latest `taken_at` of a table, as a timestamp literal; a time before all
    others where it has no rows, or is not built yet and only compiled, for the
    documentation or the linter. What a model has yet to take are the rows above
    it that carry a later one.

    A stamp is the time of a run, not of a record: however old a record is, the
    run that takes it is new.
#}
{% macro latest_taken_at(relation, stamp='taken_at') %}

    {%- set latest = stamps_in(relation, stamp).latest_stamp
        if is_built(relation) else none -%}
    {{ return(timestamp_literal(latest or modules.datetime.datetime(1, 1, 1))) }}

{% endmacro %}


{# The `range_of_stamps` of a table that exists. #}
{% macro stamps_in(relation, stamp='taken_at') %}

    {{ return(asked_once(range_of_stamps(relation, stamp), relation)[0]) }}

{% endmacro %}


{#
    The stamp of the rows that this run takes: its start, but always after every
    one that the column `stamp` of the table has already, even if a clock was
    set back.
#}
{% macro run_stamp(stamp) %}

    {%- set run_stamp = run_started_at.replace(tzinfo=none) -%}
    {%- if execute and is_incremental() -%}
        {%- set latest = stamps_in(this, stamp).latest_stamp -%}
        {%- if latest and latest >= run_stamp -%}
            {%- set run_stamp =
                latest + modules.datetime.timedelta(microseconds=1) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(timestamp_literal(run_stamp)) }}

{% endmacro %}


{#
    The stamp of what is read from the delivered files now: that of their latest
    offer. All that a run takes carries this one stamp, in whichever table.
#}
{% macro latest_offer() %}
    {{ return(latest_taken_at(
        ref('base_clickstream__delivered_files'), 'offered_at'
    )) }}
{% endmacro %}


{% macro timestamp_literal(instant) %}
    {{ return(
        "cast('" ~ instant.isoformat(' ', 'microseconds') ~ "' as "
        ~ dbt.type_timestamp() ~ ')'
    ) }}
{% endmacro %}
