{#
    Returns whether `pattern` (RE2 syntax) matches somewhere in `text`; null for
    null.

    regexp_matches_text("'a1'", '[0-9]') is true.
#}
{% macro regexp_matches_text(text, pattern) -%}
    {{ return(
        adapter.dispatch('regexp_matches_text', 'churn')(text, pattern)
    ) }}
{%- endmacro %}

{% macro duckdb__regexp_matches_text(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro athena__regexp_matches_text(text, pattern) -%}
    regexp_like({{ text }}, '{{ joni_pattern(pattern) }}')
{%- endmacro %}


{#
    Translates a pattern from RE2 to Athena's syntax: `$` matches at the very end
    only, `\s` does not match a vertical tab, and a character is `\u00a0`, not
    `\x{00a0}`.
#}
{% macro joni_pattern(pattern) -%}
    {%- set ended = modules.re.sub('(?<!\\\\)\\$', '\\\\z', pattern) -%}
    {%- set ended = modules.re.sub(
        '\\\\x\\{([0-9a-f]{4})\\}', '\\\\u\\1', ended
    ) -%}
    {{ return(ended | replace('\\s', '[ \\t\\n\\f\\r]')) }}
{%- endmacro %}

{% macro spark__regexp_matches_text(text, pattern) -%}
    ({{ text }} rlike r'{{ java_pattern(pattern) }}')
{%- endmacro %}

{#
    Translates a pattern from RE2 to Java's syntax: `$` matches at the very end
    only, `.` matches all but a line feed, and `\s` does not match a vertical tab.
#}
{% macro java_pattern(pattern) -%}
    {%- set ended = modules.re.sub('(?<!\\\\)\\$', '\\\\z', pattern) -%}
    {{ return('(?d)' ~ ended | replace('\\s', '[ \\t\\n\\f\\r]')) }}
{%- endmacro %}


{#
    Returns the text of the group `group` at the first match of `pattern` in `text`;
    null without a match.

    regexp_extract_first("'+02:30'", '^[+](\\d\\d)', 1) is '02'.
#}
{% macro regexp_extract_first(text, pattern, group) -%}
    {{ return(
        adapter.dispatch('regexp_extract_first', 'churn')(text, pattern, group)
    ) }}
{%- endmacro %}

{% macro duckdb__regexp_extract_first(text, pattern, group) -%}
    {#- DuckDB returns an empty text, not null, without a match. -#}
    case
        when regexp_matches({{ text }}, '{{ pattern }}')
            then regexp_extract({{ text }}, '{{ pattern }}', {{ group }})
    end
{%- endmacro %}

{% macro athena__regexp_extract_first(text, pattern, group) -%}
    {#- Athena returns null if the group does not take part in a match. -#}
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
