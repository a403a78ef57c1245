{#
    Deletes from the labels {{ this }} those that a run does not replace: as of
    days that are asked for no more, and of accounts whose spells are no longer
    those that they were made from. The run makes the latter anew, if there still
    is something to label.
#}
{% macro forget_outdated_labels() -%}
{%- if is_incremental() -%}
{{ delete_rows(
    this,
    'as_of_date not in (select as_of_date from ' ~ ref('int_as_of_dates') ~ ')'
    ~ ' or account_id not in (select account_id from '
    ~ ref('subscription_spells') ~ ' where revised_at <= '
    ~ latest_taken_at(this, 'spells_revised_at') ~ ')'
) }}
{%- endif -%}
{%- endmacro %}
