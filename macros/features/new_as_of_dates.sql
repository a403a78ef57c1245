{#
    Returns the condition that `column` is an as-of date that became final after
    the last run of the calling model. A first run selects all dates in
    `snapshot_dates`, the relation of int_feature_snapshot_dates. An incremental
    run lists the dates as literals, so that an engine can skip partitions.

    On an incremental run, new_as_of_date_filter(snapshot_dates) is
    `as_of_date in (date '2025-03-01')`.
#}
{% macro new_as_of_date_filter(snapshot_dates, column='as_of_date') -%}

    {%- if not can_inline_new_as_of_dates(snapshot_dates) -%}
        {{ return(
            column ~ ' in (select as_of_date from ' ~ snapshot_dates ~ ')'
        ) }}
    {%- endif -%}
    {{ return(date_in_list(column, inline_new_as_of_dates(snapshot_dates))) }}

{%- endmacro %}


{#
    Returns a condition that is true for every `column` in the `days` days before
    a new as-of date (see `new_as_of_date_filter`). It may be true for other dates
    too: it is only there so that an engine can skip partitions.
#}
{% macro feature_window_filter(snapshot_dates, column, days) -%}

    {%- if not can_inline_new_as_of_dates(snapshot_dates) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set as_of_dates = inline_new_as_of_dates(snapshot_dates) -%}
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


{#
    Pre-hook. Deletes from `relation` the rows of the new as-of dates, which the
    run appends again.
#}
{% macro delete_stale_snapshots(relation, snapshot_dates) -%}

    {%- if is_incremental() %}
    {{ delete_rows(relation, new_as_of_date_filter(snapshot_dates)) }}
    {%- endif %}

{%- endmacro %}


{#- Returns whether the new as-of dates can be queried while compiling. -#}
{% macro can_inline_new_as_of_dates(snapshot_dates) -%}
    {{ return(is_incremental() and is_built(snapshot_dates)) }}
{%- endmacro %}


{#- Returns the new as-of dates as texts, in ascending order. -#}
{% macro inline_new_as_of_dates(snapshot_dates) -%}
    {{ return(run_query_cached(
        'select cast(as_of_date as ' ~ dbt.type_string() ~ ') as as_of_date from '
        ~ snapshot_dates ~ ' where finalized_at > '
        ~ high_watermark(this, 'finalized_at') ~ ' order by 1',
        snapshot_dates
    ) | map(attribute=0) | list) }}
{%- endmacro %}
