{#
    Returns the date in a text from `parse_crm_text`, or null if it is not a date.

    Accepted are `2025-03-01`, the same followed by a time after a space or a `T`
    (the offset or zone is ignored), and the format in `crm_date_format`. Dates before
    1900 or after 2199 are placeholders.

    parse_crm_date("'2025-03-01 00:00:00.0'") is 2025-03-01;
    parse_crm_date("'01/03/2025'") is null unless `crm_date_format` says which.
#}
{% macro parse_crm_date(text) -%}
    {%- set iso =
        '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
        ~ '([T ][0-9]{2}:[0-9:.]*( ?(Z|UTC|GMT)| ?[+-][0-9:]+)?)?$' -%}
    {%- set day = dbt.safe_cast('substr(' ~ text ~ ', 1, 10)', 'date') -%}
    {%- set first_day = "cast('1900-01-01' as date)" -%}
    {%- set last_day = "cast('2199-12-31' as date)" -%}
    case
        when {{ regexp_matches_text(text, iso) }}
            then case
                when {{ day }} between {{ first_day }} and {{ last_day }}
                    then {{ day }}
            end
        {%- if var('crm_date_format') is not none %}
        {%- set day = try_parse_date(text, var('crm_date_format')) %}
        when {{ day }} between {{ first_day }} and {{ last_day }}
            then {{ day }}
        {%- endif %}
    end
{%- endmacro %}
