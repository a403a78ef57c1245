{#
    Post-hook. Stops the run with one sentence if the date in the variable
    `as_of_date` cannot be scored, because it is not final yet or before the first CRM
    batch. The scores of another date must not be mistaken for those of that date.
#}
{% macro refuse_as_of_date_not_final(as_of_dates) %}

    {%- if execute and var('as_of_date') is not none -%}
        {%- set latest = run_query(
            'select max(as_of_date) from ' ~ as_of_dates
        ).columns[0].values()[0] -%}
        {%- if latest is none -%}
            {{ exceptions.raise_compiler_error(
                'The as_of_date ' ~ var('as_of_date') ~ ' cannot be scored: '
                ~ 'no CRM batch was accepted before it.'
            ) }}
        {%- elif latest | string != var('as_of_date') | string -%}
            {{ exceptions.raise_compiler_error(
                'The as_of_date ' ~ var('as_of_date') ~ ' is not final yet: '
                ~ 'the latest one is ' ~ latest ~ '.'
            ) }}
        {%- endif -%}
    {%- endif -%}

{% endmacro %}
