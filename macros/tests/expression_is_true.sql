{#
    The rows of a model for which a boolean expression is not true. An unknown
    (null) outcome counts as a failure.
#}
{% test expression_is_true(model, expression) %}

select *

from {{ model }}

where not coalesce({{ expression }}, false)

{% endtest %}
