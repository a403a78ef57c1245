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
        fingerprint

    from account_rows

    where not has_repeated_accounts

    union all

    select
        account_id,
        batch_date,
        batch_number,
        {{ fields | join(',\n        ') }},
        fingerprint

    from ranked_repeats

    where preference = 1

),

{% if is_incremental() -%}
last_taken_changes as (

    select
        account_id,
        max(batch_date) as batch_date

    from taken_changes

    where change_kind != 'batch'

    group by 1

),

{% endif -%}
{#- What each batch is compared with; the last taken one is, of those taken, the
    only one that a new batch follows. #}
fingerprints as (

    select
        account_id,
        batch_number,
        fingerprint

    from account_states

    {%- if is_incremental() %}

    union all

    select
        taken_changes.account_id,
        last_taken_batch.batch_number,
        taken_changes.fingerprint

    from taken_changes

    inner join last_taken_changes
        on
            taken_changes.account_id = last_taken_changes.account_id
            and taken_changes.batch_date = last_taken_changes.batch_date

    cross join last_taken_batch

    where taken_changes.change_kind in ('arrived', 'changed')
    {%- endif %}

),

seen_changes as (

    select
        account_states.account_id,
        account_states.batch_date,
        case
            when former_fingerprints.account_id is null then 'arrived'
            else 'changed'
        end as change_kind,
        {% for field in fields -%}
        account_states.{{ field }},
        {% endfor -%}
        account_states.fingerprint

    from account_states

    left join fingerprints as former_fingerprints
        on
            account_states.account_id = former_fingerprints.account_id
            and account_states.batch_number
            = former_fingerprints.batch_number + 1

    where
        former_fingerprints.account_id is null
        or former_fingerprints.fingerprint != account_states.fingerprint

),

vanished_changes as (

    select
        fingerprints.account_id,
        batches.batch_date

    from fingerprints

    inner join batches
        on fingerprints.batch_number + 1 = batches.batch_number

    left join account_states as next_states
        on
            fingerprints.account_id = next_states.account_id
            and batches.batch_number = next_states.batch_number

    where next_states.account_id is null

),

changes as (

    select
        account_id,
        batch_date,
        change_kind,
        {{ fields | join(',\n        ') }},
        fingerprint,
        cast(null as {{ dbt.type_timestamp() }}) as loaded_at,
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
{%- set first_outdated -%}
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
{%- endset -%}
{{ delete_rows(this, 'batch_date >= (' ~ first_outdated ~ ')') }}
{%- endif -%}
{%- endmacro %}
