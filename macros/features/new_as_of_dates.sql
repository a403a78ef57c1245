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
    A condition that holds where `column` is one of the `new_as_of_dates`. An
    incremental run names them, so that an engine sees before the query runs what
    of a table it need not open.
#}
{% macro is_new_as_of_date(column='as_of_date') -%}

    {%- if not are_new_as_of_dates_named() -%}
        {{ return(column ~ ' in (' ~ new_as_of_dates() ~ ')') }}
    {%- endif -%}
    {{ return(is_one_of_days(column, named_new_as_of_dates())) }}

{%- endmacro %}


{#
    A condition that holds for the dates `column` that lie in the `days` days before
    one of the `new_as_of_dates`, and perhaps for others between two of them. An
    engine sees from it, before the query runs, what of a history it need not read.
#}
{% macro lies_before_new_as_of_dates(column, days) -%}

    {%- if not are_new_as_of_dates_named() -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set as_of_dates = named_new_as_of_dates() -%}
    {%- if not as_of_dates -%}
        {{ return('false') }}
    {%- endif -%}
    {{ return(
        column ~ ' >= ' ~ add_days("date '" ~ as_of_dates | first ~ "'", -days)
        ~ ' and ' ~ column ~ " < date '" ~ as_of_dates | last ~ "'"
    ) }}

{%- endmacro %}


{#- Whether the model is compiled for a run that can ask for them. -#}
{% macro are_new_as_of_dates_named() -%}
    {{ return(is_incremental() and is_built(ref('int_as_of_dates_decided'))) }}
{%- endmacro %}


{#- The `new_as_of_dates` as texts, the first one first. -#}
{% macro named_new_as_of_dates() -%}
    {{ return(asked_once(
        'select cast(as_of_date as ' ~ dbt.type_string() ~ ') as as_of_date from ('
        ~ new_as_of_dates() ~ ') as new_as_of_dates order by 1',
        ref('int_as_of_dates_decided')
    ) | map(attribute=0) | list) }}
{%- endmacro %}


{# The stamp of what is decided now: that of the latest decision. #}
{% macro decision_stamp() %}
    {{ return(latest_taken_at(ref('int_as_of_dates_decided'), 'decided_at')) }}
{% endmacro %}


{# A hook that deletes from `relation` the dates that are decided anew. #}
{% macro forget_reopened_dates(relation) -%}

    {%- if is_incremental() %}
    {{ delete_rows(relation, is_new_as_of_date()) }}
    {%- endif %}

{%- endmacro %}
