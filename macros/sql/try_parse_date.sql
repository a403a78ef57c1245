{#
    The date that `text` writes in `format` (strftime), or null where it does
    not.

    try_parse_date("'01/03/2025'", '%d/%m/%Y') is 2025-03-01.
#}
{% macro try_parse_date(text, format) -%}
    {{ return(adapter.dispatch('try_parse_date', 'churn')(text, format)) }}
{%- endmacro %}

{% macro duckdb__try_parse_date(text, format) -%}
    cast(try_strptime({{ text }}, '{{ format }}') as date)
{%- endmacro %}

{% macro athena__try_parse_date(text, format) -%}
    {#- Athena has MySQL's letters where they differ from those of strftime. -#}
    {%- set letters = {'%B': '%M', '%M': '%i', '%S': '%s', '%A': '%W'} -%}
    {%- set parts = [] -%}
    {%- for part in modules.re.findall('%.|[^%]+', format) -%}
        {%- do parts.append(letters.get(part, part)) -%}
    {%- endfor -%}
    cast(
        try(date_parse({{ text }}, '{{ parts | join | replace("'", "''") }}'))
        as date
    )
{%- endmacro %}

{% macro spark__try_parse_date(text, format) -%}
    cast(
        try_to_timestamp({{ text }}, '{{ java_date_format(format) }}') as date
    )
{%- endmacro %}

{#
    A strftime format of dates in Java's letters. Letters that are no directive
    stand in quotes.
#}
{% macro java_date_format(format) -%}
    {%- set directives = {
        'd': 'd', 'm': 'M', 'Y': 'yyyy', 'y': 'yy', 'b': 'MMM', 'B': 'MMMM',
        'H': 'H', 'M': 'm', 'S': 's', '-d': 'd', '-m': 'M', '%': "''%''",
    } -%}
    {%- set parts = [] -%}
    {%- for part in modules.re.findall('%-?.|[^%]+', format) -%}
        {%- if part.startswith('%') -%}
            {%- if part[1:] not in directives -%}
                {{ exceptions.raise_compiler_error(
                    'The directive `' ~ part ~ '` of a date format cannot be '
                    ~ 'read on Spark: use %d, %m, %Y, %y, %b, %B, %H, %M, %S.'
                ) }}
            {%- endif -%}
            {%- do parts.append(directives[part[1:]]) -%}
        {%- else -%}
            {%- do parts.append(
                modules.re.sub('([A-Za-z]+)', "''\\\\1''", part)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join) }}
{%- endmacro %}
