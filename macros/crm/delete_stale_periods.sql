{#
    Pre-hook of subscription_periods. Deletes from `periods` the rows of accounts
    that have more rows than `subscription_events` opens periods. The run writes
    the remaining periods of such an account again.
#}
{% macro delete_stale_periods(periods, subscription_events) -%}
{%- if is_incremental() -%}
{%- set accounts_to_keep -%}
select existing.account_id

    from (
        select account_id, count(*) as count_periods from {{ periods }}
        group by account_id
    ) as existing

    inner join (
        select account_id, count(*) as count_periods from {{ subscription_events }}
        where transition = 'opens'
        group by account_id
    ) as expected
        on existing.account_id = expected.account_id

    where existing.count_periods <= expected.count_periods
{%- endset -%}
{{ delete_rows(periods, 'account_id not in (' ~ accounts_to_keep ~ ')') }}
{%- endif -%}
{%- endmacro %}
