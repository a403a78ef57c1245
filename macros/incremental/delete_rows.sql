{#
    Returns the `delete` statement for the rows of `relation` that match `condition`.

    delete_rows(this, "visitor_id = 'v1'") is
    delete from ... where visitor_id = 'v1'.
#}
{% macro delete_rows(relation, condition) -%}
    {{ return('delete from ' ~ relation ~ ' where ' ~ condition) }}
{%- endmacro %}
