{#
    Returns the dates of `timestamp_column` in the rows of `relation` that match
    `condition`, as a list of texts. A null timestamp has the date none.

    A query that names dates reads only the partitions that hold them, unlike a
    query that joins them.
#}
{% macro distinct_dates(relation, timestamp_column, condition) -%}
    {%- if not is_built(relation) -%}
        {{ return([]) }}
    {%- endif -%}
    {{ return(run_query_cached(
        'select distinct cast(cast(' ~ timestamp_column ~ ' as date) as '
        ~ dbt.type_string() ~ ') as distinct_date from ' ~ relation
        ~ ' where ' ~ condition,
        relation
    ) | map('first') | list) }}
{%- endmacro %}


{#
    Returns `dates` with the `days_before` days before and the `days_after` days
    after each, all as texts.
#}
{% macro dates_around(dates, days_before, days_after) -%}
    {%- set around = [] -%}
    {%- for date in dates -%}
        {%- for offset in range(-days_before, days_after + 1) -%}
            {%- do around.append((
                modules.datetime.date.fromisoformat(date)
                + modules.datetime.timedelta(days=offset)
            ).isoformat()) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(around | unique | list) }}
{%- endmacro %}


{#
    Returns the condition that `timestamp_column` is on one of `dates`. It bounds
    the column itself too, by which an engine skips most of a history.
#}
{% macro is_on_dates(timestamp_column, dates) -%}
    {%- if not dates -%}
        {{ return('false') }}
    {%- endif -%}
    {{ timestamp_column }} >= cast('{{ dates | min }}' as timestamp)
        and {{ timestamp_column }}
        < {{ dbt.dateadd('hour', 24, "date '" ~ dates | max ~ "'") }}
        and {{ date_in_list('cast(' ~ timestamp_column ~ ' as date)', dates) }}
{%- endmacro %}
