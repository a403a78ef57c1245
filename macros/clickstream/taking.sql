{#
    The latest `taken_at` of a table, as a timestamp literal; a time before all
    others where it has no rows, or is not built yet and only compiled, for the
    documentation or the linter. What a model has yet to take are the rows above
    it that carry a later one.

    A stamp is the time of a run, not of a record: however old a record is, the
    run that takes it is new.
#}
{% macro latest_taken_at(relation, stamp='taken_at') %}

    {%- set latest = run_query(
        'select max(' ~ stamp ~ ') as taken_at from ' ~ relation
    ).columns[0].values()[0]
        if execute and load_relation(relation) is not none else none -%}
    {{ return(timestamp_literal(latest or modules.datetime.datetime(1, 1, 1))) }}

{% endmacro %}


{#
    The stamp of the rows that this run takes: its start, but always after every
    stamp the table has already, even if a clock was set back.
#}
{% macro run_stamp() %}

    {%- set stamp = run_started_at.replace(tzinfo=none) -%}
    {%- if execute and is_incremental() -%}
        {%- set latest = latest_stamp(this) -%}
        {%- if latest and latest >= stamp -%}
            {%- set stamp =
                latest + modules.datetime.timedelta(microseconds=1) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(timestamp_literal(stamp)) }}

{% endmacro %}


{% macro timestamp_literal(instant) %}
    {{ return(
        "cast('" ~ instant.isoformat(' ', 'microseconds') ~ "' as "
        ~ dbt.type_timestamp() ~ ')'
    ) }}
{% endmacro %}
