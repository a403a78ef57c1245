{#
    `text` without the blanks, tabs and line ends after its last character.

    without_trailing_space("'a b '") is 'a b'.
#}
{% macro without_trailing_space(text) -%}
    {{ return(adapter.dispatch('without_trailing_space', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__without_trailing_space(text) -%}
    rtrim({{ text }}, chr(32) || chr(9) || chr(10) || chr(13))
{%- endmacro %}

{% macro athena__without_trailing_space(text) -%}
    regexp_replace({{ text }}, '[ \t\n\r]+\z', '')
{%- endmacro %}

{% macro spark__without_trailing_space(text) -%}
    trim(
        trailing chr(32) || chr(9) || chr(10) || chr(13) from {{ text }}
    )
{%- endmacro %}
