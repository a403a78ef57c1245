{#
    Aggregate. Returns the `value` of the row that is first when a group is ordered
    by `columns`, which are never null.

    min_by('event_id', ['event_at', 'event_id']) is the id of the first event.
#}
{% macro min_by(value, columns) -%}
    {{ return(adapter.dispatch('min_by', 'churn')(
        value, columns | join(', ')
    )) }}
{%- endmacro %}

{% macro duckdb__min_by(value, columns) -%}
    arg_min({{ value }}, ({{ columns }}))
{%- endmacro %}

{% macro athena__min_by(value, columns) -%}
    min_by({{ value }}, row({{ columns }}))
{%- endmacro %}

{% macro spark__min_by(value, columns) -%}
    min_by({{ value }}, struct({{ columns }}))
{%- endmacro %}
