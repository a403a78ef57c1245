{#
    Post-hook. Logs one line if the date in the variable `as_of_date` is not
    scored, because it is not final yet or before the first CRM batch. Without the
    line, the scores could be mistaken for those of that date.
#}
{% macro warn_if_as_of_date_not_final(as_of_dates) %}

    {%- if execute and var('as_of_date') is not none -%}
        {%- set latest = run_query(
            'select max(as_of_date) from ' ~ as_of_dates
        ).columns[0].values()[0] -%}
        {%- if latest is none -%}
            {%- do log(
                'The as_of_date ' ~ var('as_of_date') ~ ' cannot be scored: '
                ~ 'no CRM batch was accepted before it.', info=true
            ) -%}
        {%- elif latest | string != var('as_of_date') | string -%}
            {%- do log(
                'The as_of_date ' ~ var('as_of_date') ~ ' is not final yet: '
                ~ 'the latest final date, ' ~ latest ~ ', is scored instead.', info=true
            ) -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}
