{#
    A query for the as-of dates that the calling model has not decided yet: all
    of them at first, then those that have come or whose on-time inputs have
    changed since. What was once decided is not looked at again, so the cost of
    a run follows the days that it adds.
#}
{% macro new_as_of_dates() -%}
    select as_of_date

    from {{ ref('int_as_of_dates_decided') }}

    {%- if is_incremental() %}

    where decided_at > {{ latest_taken_at(this, 'decided_at') }}
    {%- endif %}
{%- endmacro %}


{#
    A condition that holds for the dates `column` that lie in the `days` days before
    one of the `new_as_of_dates`, and perhaps for others between two of them. An
    engine sees from it, before the query runs, what of a history it need not read.
#}
{% macro lies_before_new_as_of_dates(column, days) -%}

    {%- set decided_dates = ref('int_as_of_dates_decided') -%}
    {%- if not (is_incremental() and is_built(decided_dates)) -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set as_of_dates = asked_once(
        'select cast(min(as_of_date) as ' ~ dbt.type_string() ~ ') as first_date, '
        ~ 'cast(max(as_of_date) as ' ~ dbt.type_string() ~ ') as last_date from ('
        ~ new_as_of_dates() ~ ') as new_as_of_dates',
        decided_dates
    )[0] -%}
    {%- if as_of_dates.first_date is none -%}
        {{ return('false') }}
    {%- endif -%}
    {{ return(
        column ~ ' >= ' ~ add_days(
            "date '" ~ as_of_dates.first_date ~ "'", -days
        )
        ~ ' and ' ~ column ~ " < date '" ~ as_of_dates.last_date ~ "'"
    ) }}

{%- endmacro %}


{# The stamp of what is decided now: that of the latest decision. #}
{% macro decision_stamp() %}
    {{ return(latest_taken_at(ref('int_as_of_dates_decided'), 'decided_at')) }}
{% endmacro %}


{# A hook that deletes from `relation` the dates that are decided anew. #}
{% macro forget_reopened_dates(relation) -%}

    {%- if is_incremental() %}
    {{ delete_rows(relation, 'as_of_date in (' ~ new_as_of_dates() ~ ')') }}
    {%- endif %}

{%- endmacro %}
