{#
    An aggregate: the `value` of the row that comes first when the rows of a group
    are ordered by `columns`, which are never null.

    first_by('event_id', ['event_at', 'event_id']) is the id of the first event.
#}
{% macro first_by(value, columns) -%}
    {{ return(adapter.dispatch('first_by', 'churn')(
        value, columns | join(', ')
    )) }}
{%- endmacro %}

{% macro duckdb__first_by(value, columns) -%}
    arg_min({{ value }}, ({{ columns }}))
{%- endmacro %}

{% macro athena__first_by(value, columns) -%}
    min_by({{ value }}, row({{ columns }}))
{%- endmacro %}

{% macro spark__first_by(value, columns) -%}
    min_by({{ value }}, struct({{ columns }}))
{%- endmacro %}
