{#
    What the group `group` of `pattern` holds at its first match in `text`, or
    null without a match.

    regexp_extract_first("'+02:30'", '^[+](\\d\\d)', 1) is '02'.
#}
{% macro regexp_extract_first(text, pattern, group) -%}
    {{ return(
        adapter.dispatch('regexp_extract_first', 'churn')(text, pattern, group)
    ) }}
{%- endmacro %}

{% macro duckdb__regexp_extract_first(text, pattern, group) -%}
    {#- DuckDB gives an empty text, not null, where nothing matches. -#}
    case
        when regexp_matches({{ text }}, '{{ pattern }}')
            then regexp_extract({{ text }}, '{{ pattern }}', {{ group }})
    end
{%- endmacro %}

{% macro athena__regexp_extract_first(text, pattern, group) -%}
    {#- Athena gives null where something matches, but the group takes no part. -#}
    case
        when regexp_like({{ text }}, '{{ joni_pattern(pattern) }}')
            then coalesce(
                regexp_extract(
                    {{ text }}, '{{ joni_pattern(pattern) }}', {{ group }}
                ),
                ''
            )
    end
{%- endmacro %}

{% macro spark__regexp_extract_first(text, pattern, group) -%}
    case
        when {{ spark__regexp_matches_text(text, pattern) }}
            then regexp_extract(
                {{ text }}, r'{{ java_pattern(pattern) }}', {{ group }}
            )
    end
{%- endmacro %}
