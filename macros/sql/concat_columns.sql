{#
    Returns an expression that concatenates `columns` of `relation` to one text,
    which differs if the value of any column differs. Null is not the empty text.
#}
{% macro concat_columns(columns, relation=none) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- for column in columns -%}
    {%- if not loop.first %} || chr(31) || {% endif -%}
    coalesce({{ to_canonical_string(
        prefix ~ column,
        'double' if column == 'monthly_recurring_revenue' else none
    ) }}, chr(30))
    {%- endfor -%}
{%- endmacro %}
