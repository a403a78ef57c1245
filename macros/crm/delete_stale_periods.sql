{#
    Deletes from the periods {{ this }} those of accounts that have none left: the
    batch that told of their start has been found broken since.
#}
{% macro delete_stale_periods() -%}
{%- if is_incremental() -%}
{{ delete_rows(
    this,
    'account_id not in (select account_id from ' ~ ref('int_subscription_events')
    ~ " where transition = 'opens')"
) }}
{%- endif -%}
{%- endmacro %}
