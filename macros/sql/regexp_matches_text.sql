{#
    Whether `pattern` matches somewhere in `text`; null for null.

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
    A pattern that means in Athena what it means in RE2: `$` is the very end, not
    the place before a last line end; `\s` is no vertical tab.
#}
{% macro joni_pattern(pattern) -%}
    {%- set ended = modules.re.sub('(?<!\\\\)\\$', '\\\\z', pattern) -%}
    {{ return(ended | replace('\\s', '[ \\t\\n\\f\\r]')) }}
{%- endmacro %}

{% macro spark__regexp_matches_text(text, pattern) -%}
    ({{ text }} rlike r'{{ java_pattern(pattern) }}')
{%- endmacro %}

{#
    A pattern that means in Java what it means in RE2: `$` is the very end, not
    the place before a last line end; `.` is everything but a line feed; `\s`
    is no vertical tab.
#}
{% macro java_pattern(pattern) -%}
    {%- set ended = modules.re.sub('(?<!\\\\)\\$', '\\\\z', pattern) -%}
    {{ return('(?d)' ~ ended | replace('\\s', '[ \\t\\n\\f\\r]')) }}
{%- endmacro %}
