{#
    Deletes from the labels {{ this }} those that a run does not replace: as of
    days that are asked for no more, and of accounts whose periods are no longer
    those that they were made from. The run makes the latter anew, if there still
    is something to label.
#}
{% macro delete_stale_labels() -%}
{%- if is_incremental() -%}
{{ delete_rows(
    this,
    'as_of_date not in (select as_of_date from ' ~ ref('int_as_of_dates') ~ ')'
    ~ ' or account_id not in (select account_id from '
    ~ ref('subscription_periods') ~ ' where updated_at <= '
    ~ high_watermark(this, 'periods_updated_at') ~ ')'
) }}
{%- endif -%}
{%- endmacro %}
