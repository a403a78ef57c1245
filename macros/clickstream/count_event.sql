{# The canonical names of the events that visits and visitors' days count, each. #}
{% macro counted_event_names() -%}
    {{ return([
        'page_view', 'product_view', 'subscribe_hover', 'subscribe_click'
    ]) }}
{%- endmacro %}


{# How many of a group's events have the canonical name `event_name`. #}
{% macro count_event(event_name) -%}
    count(case when event_name = '{{ event_name }}' then 1 end)
{%- endmacro %}
