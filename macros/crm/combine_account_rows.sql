{#
    Returns the CTE `name` with one row per scope, batch and account of the CTE `rows`:
    the rows of stg_salesforce__accounts in `rows`, with `count_rows`. Only batches
    with `has_repeated_accounts` are grouped. Of several different rows of an account
    in a batch, each is a subscription:

    - The account is a customer while any row is active. It was cancelled on the latest
      cancellation date, unless another row was active on it. It restarted on the first
      date on which a row was active after that.
    - A flag is cancelled if it is cancelled in all rows. It is null if an unreadable one
      decides. The restart flag is on if it is on in any row.
    - Seats and revenue are the sums over the active rows, or over all if none is active.
      Of texts, the first in the alphabet is used.

    Of the rows `active` and `cancelled on 2025-03-10`, the account is active.
#}
{% macro combine_account_rows(name, rows) -%}

{%- set keys = [
    'batch_scope', 'batch_date', 'previous_batch_date', 'next_batch_date',
    'account_id',
] -%}
{%- set texts = ['company_name', 'industry', 'plan'] -%}
{%- set numbers = ['seats', 'monthly_recurring_revenue'] -%}
{%- set outcomes = [
    'signup_date', 'cancellation_date', 'restart_date', 'is_cancelled',
    'is_new_customer', 'has_restart_value',
] -%}
{%- set unreadable = [
    'unreadable_signup_date', 'unreadable_seats',
    'unreadable_monthly_recurring_revenue', 'unreadable_cancelled_service',
    'unreadable_new_customer',
] -%}
{%- set states = texts + numbers + outcomes + unreadable -%}
{%- set is_dates = var('cancellation_source') == 'dates' -%}

single_rows as (

    select * from {{ rows }}

    where not has_repeated_accounts

),

distinct_rows as (

    select distinct
        {{ (keys + states) | join(',\n        ') }}

    from {{ rows }}

    where has_repeated_accounts

),

{#- A row without a cancellation is active since its own (re)start. #}
rows_with_activity as (

    select
        *,
        {% if is_dates -%}
        case
            when not is_cancelled
                then coalesce(
                    restart_date, signup_date, cast('0001-01-01' as date)
                )
            when restart_date >= cancellation_date then restart_date
        end as active_since,
        coalesce(
            not is_cancelled
            or restart_date >= cancellation_date
            or cancellation_date > batch_date,
            false
        ) as is_active
        {%- else -%}
        cast(null as date) as active_since,
        coalesce(not is_cancelled, false) as is_active
        {%- endif %}

    from distinct_rows

),

grouped_rows as (

    select
        {{ keys | join(',\n        ') }},
        {% for column in texts -%}
        coalesce(
            min(case when is_active then {{ column }} end), min({{ column }})
        ) as {{ column }},
        {% endfor -%}
        {% for column in numbers -%}
        coalesce(
            sum(case when is_active then {{ column }} end), sum({{ column }})
        ) as {{ column }},
        {% endfor -%}
        {% for column in unreadable -%}
        min({{ column }}) as {{ column }},
        {% endfor -%}
        min(signup_date) as signup_date,
        max(cancellation_date) as cancellation_date,
        max(restart_date) as restart_date,
        min(active_since) as active_since,
        case
            when min(is_cancelled) = false then false
            when count(is_cancelled) = count(*) then true
        end as is_cancelled,
        case
            when max(is_new_customer) = true then true
            when count(is_new_customer) = count(*) then false
        end as is_new_customer,
        max(has_restart_value) as has_restart_value,
        count(*) as count_rows

    from rows_with_activity

    group by {{ keys | join(', ') }}

),

{{ name }} as (

    select
        {{ (keys + states) | join(',\n        ') }},
        1 as count_rows

    from single_rows

    union all

    select
        {{ (keys + texts) | join(',\n        ') }},
        -- `least` ignores null on some engines only.
        cast(
            case when seats > 1000000000 then 1000000000 else seats end as integer
        ) as seats,
        monthly_recurring_revenue,
        signup_date,
        {% if is_dates -%}
        {%- set is_open = 'count_rows > 1 and active_since is not null' -%}
        {#- If no cancellation is known, no row has ended. -#}
        case
            when
                count_rows > 1
                and active_since is null
                and is_cancelled is null
                then null
            else cancellation_date
        end as cancellation_date,
        case
            when {{ is_open }} and active_since < cancellation_date
                then cancellation_date
            when {{ is_open }} and cancellation_date is not null then active_since
            else restart_date
        end as restart_date,
        case
            when {{ is_open }} then cancellation_date is not null
            else is_cancelled
        end as is_cancelled,
        case
            when {{ is_open }}
                then cancellation_date is not null or restart_date is not null
            else is_new_customer
        end as is_new_customer,
        {%- else -%}
        cancellation_date,
        restart_date,
        is_cancelled,
        is_new_customer,
        {%- endif %}
        has_restart_value,
        {{ unreadable | join(',\n        ') }},
        count_rows

    from grouped_rows

)
{%- endmacro %}
