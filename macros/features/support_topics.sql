{#
    Returns the topics of support calls with a feature each, in lower case. A new
    topic needs its column in the YAML of account_features.
#}
{% macro support_topics() -%}
    {{ return([
        'cancellation_question', 'billing', 'delivery', 'quality', 'usage',
    ]) }}
{%- endmacro %}
