{#
    Returns whether a row of int_visitor_accounts, `link`, names the account of a
    visitor's activity, `activity`, by what was known on its as-of date. `user_key` is
    the user who was logged in, or the empty text for the visitor's own account.
#}
{% macro is_account_of_visitor(link, activity, user_key) -%}
    {{ activity }}.visitor_id = {{ link }}.visitor_id
    and {{ user_key }} = {{ link }}.user_key
    and {{ activity }}.as_of_date >= {{ link }}.known_date
    and {{ activity }}.as_of_date < {{ link }}.shared_device_since
{%- endmacro %}
