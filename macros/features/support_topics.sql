{#
    The topics of support calls that have a feature of their own, as the call
    centre names them, in lower case. A topic that is added here needs its
    columns in account_features.sql and its YAML.
#}
{% macro support_topics() -%}
    {{ return([
        'cancellation_question', 'billing', 'delivery', 'quality', 'usage',
    ]) }}
{%- endmacro %}
