{# Returns the canonical names of the events that have a count of their own. #}
{% macro counted_event_names() -%}
    {{ return([
        'page_view', 'product_view', 'subscribe_hover', 'subscribe_click'
    ]) }}
{%- endmacro %}


{# Counts the events of a group with the canonical name `event_name`. #}
{% macro count_event(event_name) -%}
    count(case when event_name = '{{ event_name }}' then 1 end)
{%- endmacro %}
