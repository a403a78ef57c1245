{#
    Patterns that match JSON which is not read as it stands: an array of keys
    and values, or JSON inside a text. They may match other JSON too, which the
    irregular lane reads just as well; but they must not miss any that lane
    would read in another way, escaped letters and brackets included.

    All of them need a backslash, or the text `key"`, in the record.
#}
{% macro needs_repair_patterns() %}

    {%- set pairs = '"key"\\s*:|\\\\u00(6[bB5]|79)' -%}
    {#- Bounded, since some engines' patterns recurse where groups repeat. -#}
    {%- set nested_json = '"\\s*((\\\\[nrt]|\\\\u00(09|0[aAdD]|20))\\s*){0,20}'
        ~ '([\\[{]|\\\\u00[57][bB])' -%}
    {{ return([pairs, nested_json]) }}

{% endmacro %}


{#
    Whether `payload` may nest deeper than `deepest_nesting` of
    `churn/json_repair.py`, and must be looked at closely: it has more brackets
    than that. No short record is deep enough to endanger a reader.
#}
{% macro may_nest_too_deep(payload) -%}
    length({{ payload }}) > 1000
    and length({{ payload }}) - length(
        replace(replace({{ payload }}, '{', ''), '[', '')
    ) > 200
{%- endmacro %}
