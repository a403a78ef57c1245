{#
    A query for the as-of dates that the calling model has not decided yet: all
    of them at first, then those that `{{ this }}` does not hold. What was once
    decided is never looked at again, so the cost of a run follows the days that
    it adds.
#}
{% macro new_as_of_dates() -%}
    select as_of_date

    from {{ ref('int_as_of_dates') }}

    {%- if is_incremental() %}

    where as_of_date not in (select as_of_date from {{ this }})
    {%- endif %}
{%- endmacro %}
