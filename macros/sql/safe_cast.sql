{#
    The text `expression` as `type`, or null where it is not written as one:

    - `integer`, `bigint`: digits with or without a sign, also `12.0`
    - `double`: a decimal number, with or without an exponent
    - `date`: `2025-03-01`, also with a time of day behind it, which is cut off
    - `timestamp`: `2025-03-01 10:04:05`, or with a `T`, a fraction, a `Z`

    and other types as the engine reads them. Values that have a type already
    are cast. With `is_checked`, the caller has made sure that the text is
    written so, and it is not looked at again.

    safe_cast("'12x'", 'integer') is null.
#}
{% macro safe_cast(expression, type, is_checked=false) -%}
    {%- set day = '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}' -%}
    {%- set time = '[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?Z?' -%}
    {%- set patterns = {
        'integer': '^[ ]*[+-]?[0-9]+([.]0*)?[ ]*$',
        'bigint': '^[ ]*[+-]?[0-9]+([.]0*)?[ ]*$',
        'double':
            '^[ ]*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?[ ]*$',
        'date': '^[ ]*' ~ day ~ '(' ~ time ~ ')?[ ]*$',
        'timestamp': '^[ ]*' ~ day ~ '(' ~ time ~ ')?[ ]*$',
    } -%}
    {%- set value = adapter.dispatch('try_cast_written', 'churn')(
        expression, type
    ) -%}
    {%- if is_checked or type not in patterns -%}
        {{ value }}
    {%- else -%}
        case
            when {{ regexp_matches_text(
                'cast(' ~ expression ~ ' as ' ~ dbt.type_string() ~ ')',
                patterns[type]
            ) }}
                then {{ value }}
        end
    {%- endif -%}
{%- endmacro %}

{% macro athena__try_cast_written(expression, type) -%}
    {%- set text = 'trim(cast(' ~ expression ~ ' as varchar))' -%}
    {%- if type in ['integer', 'bigint'] -%}
        try_cast(regexp_extract({{ text }}, '^[^.]*') as {{ type }})
    {%- elif type == 'date' -%}
        try_cast(regexp_extract({{ text }}, '^[^T ]*') as date)
    {%- elif type == 'timestamp' -%}
        {#- Longer fractions would be rounded; a `T` and a `Z` are not read. -#}
        try_cast(
            replace(regexp_extract(
                {{ text }}, '^[^.Z]*(?:[.][0-9]{1,6})?'
            ), 'T', ' ') as timestamp(6)
        )
    {%- else -%}
        try_cast({{ expression }} as {{ type }})
    {%- endif -%}
{%- endmacro %}

{% macro default__try_cast_written(expression, type) -%}
    try_cast({{ expression }} as {{ type }})
{%- endmacro %}

{% macro spark__try_cast_written(expression, type) -%}
    {%- if type in ['integer', 'bigint'] -%}
        {#- Spark takes no decimals for a whole number, not even `12.0`. -#}
        try_cast(
            try_cast({{ expression }} as decimal(38, 0)) as {{ type }}
        )
    {%- else -%}
        try_cast({{ expression }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
