{# Returns the MD5 digest of the `columns` of a row of `relation`. #}
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
