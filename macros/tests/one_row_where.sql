{#
    The number of rows for which `condition` holds, if it is not one; a table
    without rows passes.
#}
{% test one_row_where(model, condition) %}

select count(case when {{ condition }} then 1 end) as count_rows

from {{ model }}

having
    count(*) > 0
    and count(case when {{ condition }} then 1 end) != 1

{% endtest %}
