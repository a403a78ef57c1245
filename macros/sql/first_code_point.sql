{#
    The number in Unicode of the first character of `text`; -1 where the text is
    empty, and null for null.

    first_code_point("'née'") is 110.
#}
{% macro first_code_point(text) -%}
    {{ return(adapter.dispatch('first_code_point', 'churn')(text)) }}
{%- endmacro %}

{% macro duckdb__first_code_point(text) -%}
    ord({{ text }})
{%- endmacro %}

{% macro spark__first_code_point(text) -%}
    (ascii({{ text }}) - if({{ text }} = '', 1, 0))
{%- endmacro %}

{% macro athena__first_code_point(text) -%}
    case
        when {{ text }} = '' then -1
        else codepoint(cast(substr({{ text }}, 1, 1) as varchar(1)))
    end
{%- endmacro %}
