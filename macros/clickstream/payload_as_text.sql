{#
    Returns the expression for the column `payload` of the raw table `relation` as
    JSON text. A payload of another type than text (JSON, a struct, a map, an
    array or Spark's variant) is written as JSON, bytes are read as UTF-8. If `raw_events_columns` maps
    `payload` to an expression, the expression must return text or JSON.
#}
{% macro payload_as_text(relation) -%}
    {%- set name = column_mapping('raw_events').get('payload', 'payload')
        | string | lower -%}
    {%- set types = [] -%}
    {%- if execute and load_relation(relation) is not none -%}
        {%- for column in adapter.get_columns_in_relation(relation)
            if column.name | lower == name -%}
            {%- do types.append(column.dtype | lower) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if types and target.type == 'duckdb' and types[0] == 'blob' -%}
        {#- A cast writes \x22 for a quotation mark. -#}
        {{ return('coalesce(try(decode(payload)), cast(payload as varchar))') }}
    {%- endif -%}
    {%- if types and modules.re.match(
        '^(struct|row|map|variant|array|list|json)|[\\[]', types[0]
    ) -%}
        {{ return(adapter.dispatch('to_json_text', 'churn')('payload')) }}
    {%- endif -%}
    {{ return('cast(payload as ' ~ dbt.type_string() ~ ')') }}
{%- endmacro %}


{#
    Returns a value of a nested type or of the type JSON as JSON text.

    On DuckDB, to_json_text("{'a': 1}") is '{"a":1}'.
#}
{% macro duckdb__to_json_text(value) -%}
    cast(to_json({{ value }}) as varchar)
{%- endmacro %}

{% macro spark__to_json_text(value) -%}
    to_json({{ value }})
{%- endmacro %}

{% macro athena__to_json_text(value) -%}
    json_format(cast({{ value }} as json))
{%- endmacro %}
