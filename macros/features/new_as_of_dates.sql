{#
    A query for the as-of dates that the calling model has not decided yet: all
    of them at first, then those that have come or whose on-time inputs have
    changed since. What was once decided is not looked at again, so the cost of
    a run follows the days that it adds.
#}
{% macro new_as_of_dates() -%}
    select as_of_date

    from {{ ref('int_feature_snapshot_dates') }}

    {%- if is_incremental() %}

    where finalized_at > {{ high_watermark(this, 'finalized_at') }}
    {%- endif %}
{%- endmacro %}


{#
    A condition that holds where `column` is one of the `new_as_of_dates`. An
    incremental run names them, so that an engine sees before the query runs what
    of a table it need not open.
#}
{% macro new_as_of_date_filter(column='as_of_date') -%}

    {%- if not can_inline_new_as_of_dates() -%}
        {{ return(column ~ ' in (' ~ new_as_of_dates() ~ ')') }}
    {%- endif -%}
    {{ return(date_in_list(column, inline_new_as_of_dates())) }}

{%- endmacro %}


{#
    A condition that holds for the dates `column` that lie in the `days` days before
    one of the `new_as_of_dates`, and perhaps for others between two of them. An
    engine sees from it, before the query runs, what of a history it need not read.
#}
{% macro feature_window_filter(column, days) -%}

    {%- if not can_inline_new_as_of_dates() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set as_of_dates = inline_new_as_of_dates() -%}
    {%- if not as_of_dates -%}
        {{ return('false') }}
    {%- endif -%}
    {{ return(
        column ~ ' >= ' ~ dbt.dateadd(
            'day', -days, "date '" ~ as_of_dates | first ~ "'"
        )
        ~ ' and ' ~ column ~ " < date '" ~ as_of_dates | last ~ "'"
    ) }}

{%- endmacro %}


{#- Whether the model is compiled for a run that can ask for them. -#}
{% macro can_inline_new_as_of_dates() -%}
    {{ return(is_incremental() and is_built(ref('int_feature_snapshot_dates'))) }}
{%- endmacro %}


{#- The `new_as_of_dates` as texts, the first one first. -#}
{% macro inline_new_as_of_dates() -%}
    {{ return(run_query_cached(
        'select cast(as_of_date as ' ~ dbt.type_string() ~ ') as as_of_date from ('
        ~ new_as_of_dates() ~ ') as new_as_of_dates order by 1',
        ref('int_feature_snapshot_dates')
    ) | map(attribute=0) | list) }}
{%- endmacro %}


{# The column of what is decided now: that of the latest decision. #}
{% macro decision_stamp() %}
    {{ return(high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at')) }}
{% endmacro %}


{# A hook that deletes from `relation` the dates that are decided anew. #}
{% macro delete_stale_snapshots(relation) -%}

    {%- if is_incremental() %}
    {{ delete_rows(relation, new_as_of_date_filter()) }}
    {%- endif %}

{%- endmacro %}
