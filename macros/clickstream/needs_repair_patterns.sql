{#
    Returns patterns of valid JSON that the repair path must normalize: an array
    of keys and values, or JSON inside a text. They may match other JSON, which
    the repair path parses equally well, but must match all of these, escaped
    letters and brackets included.

    Every match contains a backslash or the text `key"`.
#}
{% macro needs_repair_patterns() %}

    {%- set pairs = '"key"\\s*:|\\\\u00(6[bB5]|79)' -%}
    {#- Bounded, because some engines recurse for a repeated group. -#}
    {%- set nested_json = '"\\s*((\\\\[nrt]|\\\\u00(09|0[aAdD]|20))\\s*){0,20}'
        ~ '([\\[{]|\\\\u00[57][bB])' -%}
    {{ return([pairs, nested_json]) }}

{% endmacro %}


{#
    Returns whether `payload` may nest deeper than `deepest_nesting` in
    `churn/ingest/json_repair.py`: whether it has more opening brackets than that.
    Records of up to 1,000 characters are safe for any parser.
#}
{% macro may_nest_too_deep(payload) -%}
    length({{ payload }}) > 1000
    and length({{ payload }}) - length(
        replace(replace({{ payload }}, '{', ''), '[', '')
    ) > 200
{%- endmacro %}
