{#
    Deletes from the spells {{ this }} those of accounts that have none left: the
    batch that told of their start has been found broken since.
#}
{% macro forget_spells_without_start() -%}
{%- if is_incremental() -%}
{{ delete_rows(
    this,
    'account_id not in (select account_id from ' ~ ref('int_account_signals')
    ~ " where effect = 'opens')"
) }}
{%- endif -%}
{%- endmacro %}
