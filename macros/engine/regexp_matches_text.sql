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
    regexp_like({{ text }}, '{{ pattern }}')
{%- endmacro %}
