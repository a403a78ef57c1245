{#
    A digest of what a row says in `columns`, to tell rows apart that share their
    key.
#}
{% macro row_hash(columns, relation) -%}

    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append(
            "coalesce(" ~ to_canonical_string(
                relation ~ "." ~ column,
                "timestamp" if column.endswith("_at") else none
            ) ~ ", '')"
        ) -%}
    {%- endfor -%}
    {{ dbt.hash(texts | join(" || chr(31) || ")) }}

{%- endmacro %}


{#
    `columns` of this table, called `relation`, with a null in place of each
    that it does not have yet, because the dictionary has only now been given it.
#}
{% macro existing_columns(columns, relation) %}

    {%- set existing = [] -%}
    {%- if execute -%}
        {%- set existing = adapter.get_columns_in_relation(this)
            | map(attribute='name') | map('lower') | list -%}
    {%- endif -%}
    {%- set result = [] -%}
    {%- for column in columns -%}
        {%- do result.append(
            relation ~ '.' ~ column if column in existing
            else 'null as ' ~ column
        ) -%}
    {%- endfor -%}
    {{ return(result) }}

{% endmacro %}
