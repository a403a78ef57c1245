{#
    The text that a record has for one dictionary column: what stands at the
    first of its paths that holds anything, or null. `candidates` are the texts
    at its paths.
#}
{% macro coalesce_paths(candidates) -%}

    {%- if candidates | length > 1 -%}
        coalesce({{ candidates | join(', ') }})
    {%- else -%}
        {{ candidates[0]
            or 'cast(null as ' ~ dbt.type_string() ~ ')' }}
    {%- endif -%}

{%- endmacro %}


{#
    `coalesce_paths` where that really says something, else what the first path that
    does says. Each path is looked at on its own for the few records only that
    need it.
#}
{% macro coalesce_non_placeholder(candidates, coalesce_paths) -%}

    {%- if not candidates -%}
    {{ coalesce_paths }}
    {%- else -%}
    case
        when {{ is_placeholder(coalesce_paths) }}
            then {{ first_element_where(
                candidates, 'candidate', 'not ' ~ is_placeholder('candidate')
            ) }}
        else {{ coalesce_paths }}
    end
    {%- endif -%}

{%- endmacro %}


{#
    For each column of `dictionary`, by name, the texts at its paths: those of the
    expressions `texts`, which are in the order of `paths`.
#}
{% macro field_mapping_candidates(dictionary, paths, texts) %}

    {%- set candidates = {} -%}
    {%- for column in dictionary -%}
        {%- do candidates.update({column.name: []}) -%}
        {%- for path in column.json_paths -%}
            {%- do candidates[column.name].append(texts[paths.index(path)]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(candidates) }}

{% endmacro %}


{#
    Whether a text that stands where a scalar belongs means that there is none:
    a blank text; `null`, `undefined`, `none`, `nan` or an infinity in any case;
    an object or an array.

    Numbers are compared at next to no cost, so they let the pattern run on few
    texts: on those that are empty or begin like one that is absent.
#}
{% macro is_placeholder(text) -%}
    {#- None, white space, and the letters of `-INU[inu{`. #}
    (
        {{ first_code_point(text) }} in (
            -1, 9, 10, 12, 13, 32, 45, 73, 78, 85, 91, 105, 110, 117, 123
        )
        and {{ regexp_matches_text(
            text,
            '(?i)^(\\s*([\\[{]|$)|(null|none|undefined|nan|-?inf(inity)?)$)'
        ) }}
    )
{%- endmacro %}


{#
    The text `text` of one dictionary column as the column's type, or null where
    it cannot be read as one.
#}
{% macro cast_field(column, text) -%}

    {%- if column.data_type == 'timestamp' -%}
        {{ parse_time(text, column.format) }}
    {%- elif column.data_type == 'date' -%}
        cast({{ parse_time(text, column.format) }} as date)
    {%- elif column.data_type == 'boolean' -%}
        case
            when lower({{ text }}) in ('true', '1', 'yes', 'y') then true
            when lower({{ text }}) in ('false', '0', 'no', 'n') then false
        end
    {%- elif column.data_type in ('varchar', 'string', 'text') -%}
        {{ format_text(column, text) }}
    {%- else -%}
        {{ dbt.safe_cast(text, column.data_type) }}
    {%- endif -%}

{%- endmacro %}


{# A text column, with its `format` and closed list of `values` applied. #}
{% macro format_text(column, text) -%}

    {%- set formatted = text -%}
    {%- if column.format == 'lower' -%}
        {%- set formatted = 'lower(' ~ text ~ ')' -%}
    {%- elif column.format == 'url_path' -%}
        {%- set formatted = get_url_path(text) -%}
    {%- endif -%}

    {%- if column['values'] -%}
        case
            when {{ formatted }} in (
                {%- for value in column['values'] %}
                '{{ value | replace("'", "''") }}'
                {%- if not loop.last %},{% endif %}
                {%- endfor %}
            )
                then {{ formatted }}
        end
    {%- else -%}
        {{ formatted }}
    {%- endif -%}

{%- endmacro %}


{# The path of a URL: scheme, host, query and fragment left out. #}
{% macro get_url_path(text) -%}
    case
        when {{ text }} is null then null
        when {{ text }} like '/%'
            and {{ text }} not like '%?%'
            and {{ text }} not like '%#%'
            then {{ text }}
        else coalesce(
            nullif({{ regexp_extract_first(
                text, '^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?([^?#]*)', 1
            ) }}, ''),
            '/'
        )
    end
{%- endmacro %}


{#
    The instant in UTC that a tracker's text names, or null where it cannot be
    read: a count of seconds, milliseconds, microseconds or nanoseconds since
    1970 (told apart by its size, unless `unit` says which), or an ISO 8601 date
    with or without time of day and offset. Without an offset it is UTC.
#}
{% macro parse_time(text, unit=none) -%}

    {%- set number = try_cast_text(text, 'double') -%}

    case
        when {{ text }} is null then null
        when {{ regexp_matches_text(text, iso_time_pattern('(Z|z)?')) }}
            then {{ parse_iso_timestamp(text) }}
        when {{ regexp_matches_text(
            text, '^[0-9]{1,19}([.][0-9]*)?([eE][+]?[0-9]{1,2})?$'
        ) }} then
            {%- set factors = {
                'seconds': 1000000, 'milliseconds': 1000, 'microseconds': 1
            } %}
            {%- if unit in factors %}
            case
                when {{ number }} < {{ 253402300800000000 // factors[unit] }}
                    then {{ epoch_to_timestamp(
                        'cast(round(' ~ number ~ ' * ' ~ factors[unit]
                        ~ ') as bigint)'
                    ) }}
            end
            {%- else %}
            case
                {%- for bound, factor in [
                    ('1e11', '1000000'), ('1e14', '1000'),
                    ('1e17', '1'), ('1e19', '0.001')
                ] %}
                when {{ number }} < {{ bound }}
                    then {{ epoch_to_timestamp(
                        'cast(round(' ~ number ~ ' * ' ~ factor
                        ~ ') as bigint)'
                    ) }}
                {%- endfor %}
            end
            {%- endif %}
        when {{ regexp_matches_text(
            text, iso_time_pattern(time_offset_pattern())
        ) }}
            then {{ parse_iso_timestamptz(text) }}
    end

{%- endmacro %}


{# An ISO 8601 time, with `offset` as the pattern of what may follow it. #}
{% macro iso_time_pattern(offset) -%}
    {{ return(
        '^\\d{4}-\\d{2}-\\d{2}([Tt ]\\d{2}:\\d{2}(:\\d{2}([.,]\\d{1,9})?)?'
        ~ offset ~ ')?$'
    ) }}
{%- endmacro %}


{#
    The offset at the end of an ISO 8601 time: its sign, hours and minutes. There
    is none of more than 14 hours on earth.
#}
{% macro time_offset_pattern() -%}
    {{ return(' ?([+-])(0\\d|1[0-4]):?([0-5]\\d)?$') }}
{%- endmacro %}
