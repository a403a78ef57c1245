{#
    Override of dbt's `safe_cast` with one set of accepted notations on every
    engine. Returns null for a text that is not written as the type:

    - `integer`, `bigint`: digits with or without a sign, also `12.0`
    - `double`: a decimal number, with or without an exponent
    - `date`: `2025-03-01`; a time of day after it is cut off
    - `timestamp`: `2025-03-01 10:04:05`, or with a `T`, a fraction, a `Z`

    Other types are cast as the engine does it.

    dbt.safe_cast("'12x'", 'integer') is null.
#}
{% macro default__safe_cast(field, type) -%}
    {%- set day = '[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}' -%}
    {%- set time = '[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?Z?' -%}
    {%- set whole_number = '^[ ]*[+-]?[0-9]+([.]0*)?[ ]*$' -%}
    {%- set date_or_time = '^[ ]*' ~ day ~ '(' ~ time ~ ')?[ ]*$' -%}
    {%- set patterns = {
        'integer': whole_number,
        'bigint': whole_number,
        'double':
            '^[ ]*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]+)?[ ]*$',
        'date': date_or_time,
        'timestamp': date_or_time,
    } -%}
    {%- if type not in patterns -%}
        {{ try_cast_text(field, type) }}
    {%- else -%}
        case
            when {{ regexp_matches_text(
                'cast(' ~ field ~ ' as ' ~ dbt.type_string() ~ ')',
                patterns[type]
            ) }}
                then {{ try_cast_text(field, type) }}
        end
    {%- endif -%}
{%- endmacro %}


{#
    Casts a text whose notation the caller has checked; null if the value is out
    of range. `safe_cast` checks the notation first.

    try_cast_text("'12.0'", 'integer') is 12.
#}
{% macro try_cast_text(field, type) -%}
    {{ return(adapter.dispatch('try_cast_text', 'churn')(field, type)) }}
{%- endmacro %}

{% macro default__try_cast_text(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}

{% macro athena__try_cast_text(field, type) -%}
    {%- set text = 'trim(cast(' ~ field ~ ' as varchar))' -%}
    {%- if type in ['integer', 'bigint'] -%}
        try_cast(regexp_extract({{ text }}, '^[^.]*') as {{ type }})
    {%- elif type == 'date' -%}
        try_cast(regexp_extract({{ text }}, '^[^T ]*') as date)
    {%- elif type == 'timestamp' -%}
        {#- Athena rounds longer fractions, and does not read `T` and `Z`. -#}
        try_cast(
            replace(regexp_extract(
                {{ text }}, '^[^.Z]*(?:[.][0-9]{1,6})?'
            ), 'T', ' ') as timestamp(6)
        )
    {%- else -%}
        try_cast({{ field }} as {{ type }})
    {%- endif -%}
{%- endmacro %}

{% macro spark__try_cast_text(field, type) -%}
    {%- if type in ['integer', 'bigint'] -%}
        {#- Spark reads no decimals in a whole number, not even `12.0`. -#}
        try_cast(try_cast({{ field }} as decimal(38, 0)) as {{ type }})
    {%- else -%}
        try_cast({{ field }} as {{ type }})
    {%- endif -%}
{%- endmacro %}
