{#
    A hook that says in one line that the variable `as_of_date` names a day
    which is not scored, because it is not decided yet or lies before all data.
    Another day in its place without a word would be mistaken for it.
#}
{% macro warn_if_as_of_date_not_final(as_of_dates) %}

    {%- if execute and var('as_of_date') is not none -%}
        {%- set latest = run_query(
            'select max(as_of_date) from ' ~ as_of_dates
        ).columns[0].values()[0] -%}
        {%- if latest is none -%}
            {%- do log(
                'The as_of_date ' ~ var('as_of_date') ~ ' cannot be scored: '
                ~ 'no CRM batch had been accepted before it.', info=true
            ) -%}
        {%- elif latest | string != var('as_of_date') | string -%}
            {%- do log(
                'The as_of_date ' ~ var('as_of_date') ~ ' is not decided yet: '
                ~ 'the latest day whose records have arrived is ' ~ latest
                ~ ', and is scored in its place.', info=true
            ) -%}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}
