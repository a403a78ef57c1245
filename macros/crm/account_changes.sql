{#
    The change history of the accounts over the deliveries whose
    `verdict_column` is `landed`: see the models int_account_changes and
    int_account_changes_on_time, which are this macro and nothing else.

    An incremental run appends the batches behind the last one that the table
    holds. `forget_outdated_batches` has made sure before that what it holds is
    still what landed.
#}
{% macro account_changes(verdict_column) -%}

{%- set fields = [
    'company_name', 'industry', 'signup_date', 'plan', 'seats',
    'monthly_recurring_revenue', 'cancelled_on', 'restarted_on',
    'is_cancelled', 'is_new_customer', 'unreadable_signup_date',
    'unreadable_seats', 'unreadable_monthly_recurring_revenue',
    'unreadable_cancelled_service', 'unreadable_new_customer',
] -%}

with

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

),

deliveries as (

    select * from {{ ref('int_crm_deliveries_judged') }}

),

batches as (

    select
        batch_date,
        loaded_at,
        count_rows,
        count_rows - count_rows_without_account > count_accounts
            as has_repeated_accounts,
        row_number() over (order by batch_date) as batch_number

    from deliveries

    where {{ verdict_column }} = 'landed'

),

{% if is_incremental() -%}
taken_changes as (

    select * from {{ this }}

),

{% endif -%}
last_taken_batch as (

    select coalesce(max(batches.batch_number), 0) as batch_number

    from batches

    {% if is_incremental() -%}
    inner join taken_changes
        on
            batches.batch_date = taken_changes.batch_date
            and taken_changes.change_kind = 'batch'
    {%- else -%}
    where false
    {%- endif %}

),

new_batches as (

    select batches.*

    from batches

    inner join last_taken_batch
        on batches.batch_number > last_taken_batch.batch_number

),

account_rows as (

    select
        accounts.account_id,
        accounts.batch_date,
        new_batches.batch_number,
        new_batches.has_repeated_accounts,
        {% for field in fields -%}
        accounts.{{ field }},
        {% endfor -%}
        {{ md5_text(texts_joined(fields, 'accounts')) }} as fingerprint

    from accounts

    inner join new_batches
        on
            accounts.batch_date = new_batches.batch_date
            and accounts.loaded_at = new_batches.loaded_at

    where accounts.account_id is not null

),

ranked_repeats as (

    select
        *,
        row_number() over (
            partition by account_id, batch_number
            order by fingerprint desc
        ) as preference

    from account_rows

    where has_repeated_accounts

),

account_states as (

    select
        account_id,
        batch_date,
        batch_number,
        {{ fields | join(',\n        ') }},
        fingerprint,
        false as is_taken

    from account_rows

    where not has_repeated_accounts

    union all

    select
        account_id,
        batch_date,
        batch_number,
        {{ fields | join(',\n        ') }},
        fingerprint,
        false as is_taken

    from ranked_repeats

    where preference = 1

    {%- if is_incremental() %}

    union all

    select
        last_changes.account_id,
        last_changes.batch_date,
        last_taken_batch.batch_number,
        {% for field in fields -%}
        last_changes.{{ field }},
        {% endfor -%}
        last_changes.fingerprint,
        true as is_taken

    from (
        select
            *,
            row_number() over (
                partition by account_id
                order by batch_date desc
            ) as recency

        from taken_changes

        where change_kind != 'batch'
    ) as last_changes

    cross join last_taken_batch

    where
        last_changes.recency = 1
        and last_changes.change_kind != 'vanished'
    {%- endif %}

),

sequenced_states as (

    {#- Narrow on purpose: what a state holds is joined to the few changes. #}
    select
        account_id,
        batch_number,
        fingerprint,
        is_taken,
        lag(batch_number) over (
            partition by account_id
            order by batch_number
        ) as former_batch_number,
        lag(fingerprint) over (
            partition by account_id
            order by batch_number
        ) as former_fingerprint,
        lead(batch_number) over (
            partition by account_id
            order by batch_number
        ) as next_batch_number

    from account_states

),

last_batch as (

    select max(batch_number) as batch_number from batches

),

seen_changes as (

    select
        account_states.account_id,
        account_states.batch_date,
        case
            when
                sequenced_states.former_batch_number
                = sequenced_states.batch_number - 1
                then 'changed'
            else 'arrived'
        end as change_kind,
        {% for field in fields -%}
        account_states.{{ field }},
        {% endfor -%}
        account_states.fingerprint

    from sequenced_states

    inner join account_states
        on
            sequenced_states.account_id = account_states.account_id
            and sequenced_states.batch_number = account_states.batch_number
            and not account_states.is_taken

    where
        not sequenced_states.is_taken
        and (
            sequenced_states.former_batch_number is null
            or sequenced_states.former_batch_number
            != sequenced_states.batch_number - 1
            or sequenced_states.former_fingerprint
            != sequenced_states.fingerprint
        )

),

vanished_changes as (

    select
        sequenced_states.account_id,
        batches.batch_date

    from sequenced_states

    cross join last_batch

    inner join batches
        on sequenced_states.batch_number + 1 = batches.batch_number

    where
        coalesce(
            sequenced_states.next_batch_number, last_batch.batch_number + 1
        ) > sequenced_states.batch_number + 1

),

changes as (

    select
        account_id,
        batch_date,
        change_kind,
        {{ fields | join(',\n        ') }},
        fingerprint,
        cast(null as timestamp) as loaded_at,
        cast(null as bigint) as count_rows,
        cast(null as {{ dbt.type_string() }}) as read_with

    from seen_changes

    union all

    select
        account_id,
        batch_date,
        'vanished' as change_kind,
        {% for field in fields -%}
        null as {{ field }},
        {% endfor -%}
        null as fingerprint,
        null as loaded_at,
        null as count_rows,
        null as read_with

    from vanished_changes

    union all

    select
        null as account_id,
        batch_date,
        'batch' as change_kind,
        {% for field in fields -%}
        null as {{ field }},
        {% endfor -%}
        null as fingerprint,
        loaded_at,
        count_rows,
        '{{ crm_reading() }}' as read_with

    from new_batches

)

select * from changes
{%- endmacro %}


{# `columns` as one text that differs if any of them does. #}
{% macro texts_joined(columns, relation=none) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- for column in columns -%}
    {%- if not loop.first %} || chr(31) || {% endif -%}
    coalesce({{ as_text(
        prefix ~ column,
        'double' if column == 'monthly_recurring_revenue' else none
    ) }}, chr(30))
    {%- endfor -%}
{%- endmacro %}


{# How the CRM's columns are read: what was read otherwise is read again. #}
{% macro crm_reading() -%}
    {{ var('crm_outcome_dialect') }}
    {%- if var('crm_date_format') is not none %} {{
        var('crm_date_format') | replace("'", "''")
    }}{%- endif -%}
{%- endmacro %}


{#
    Deletes from the change history {{ this }} every batch from the first on
    that is no longer what landed: one that arrived late, came to be
    quarantined, has grown or was read otherwise. Nothing where it still holds.
#}
{% macro forget_outdated_batches(verdict_column) -%}
{%- if is_incremental() -%}
delete from {{ this }}
where batch_date >= (
    select min(coalesce(taken.batch_date, landed.batch_date))

    from (
        select * from {{ this }} where change_kind = 'batch'
    ) as taken

    full outer join (
        select * from {{ ref('int_crm_deliveries_judged') }}
        where {{ verdict_column }} = 'landed'
    ) as landed
        on taken.batch_date = landed.batch_date

    where
        taken.batch_date is null
        or landed.batch_date is null
        or taken.loaded_at != landed.loaded_at
        or taken.count_rows != landed.count_rows
        or taken.read_with != '{{ crm_reading() }}'
)
{%- endif -%}
{%- endmacro %}
