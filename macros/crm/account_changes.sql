{#
    The change history of the accounts over the validated_batches whose
    `status_column` is `accepted`: see the models int_account_changes and
    int_account_changes_on_time, which are this macro and nothing else.

    An incremental run appends the batches behind the last one that the table
    holds. `delete_stale_batches` has made sure before that what it holds is
    still what accepted.
#}
{% macro account_changes(status_column) -%}

{%- set fields = [
    'company_name', 'industry', 'signup_date', 'plan', 'seats',
    'monthly_recurring_revenue', 'cancellation_date', 'restart_date',
    'is_cancelled', 'is_new_customer', 'unreadable_signup_date',
    'unreadable_seats', 'unreadable_monthly_recurring_revenue',
    'unreadable_cancelled_service', 'unreadable_new_customer',
] -%}

with

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

),

validated_batches as (

    select * from {{ ref('int_crm_batches_validated') }}

),

batches as (

    select
        batch_date,
        loaded_at,
        count_rows,
        row_number() over (order by batch_date) as batch_number

    from validated_batches

    where {{ status_column }} = 'accepted'

),

{% if is_incremental() -%}
existing_changes as (

    select * from {{ this }}

),

{% endif -%}
last_processed_batch as (

    select coalesce(max(batches.batch_number), 0) as batch_number

    from batches

    {% if is_incremental() -%}
    inner join existing_changes
        on
            batches.batch_date = existing_changes.batch_date
            and existing_changes.change_kind = 'batch'
    {%- else -%}
    where false
    {%- endif %}

),

new_batches as (

    select batches.*

    from batches

    inner join last_processed_batch
        on batches.batch_number > last_processed_batch.batch_number

),

{% if is_incremental() -%}
last_processed_changes as (

    select
        account_id,
        max(batch_date) as batch_date

    from existing_changes

    where change_kind != 'batch'

    group by 1

),

{% endif -%}
account_rows as (

    select
        accounts.account_id,
        new_batches.batch_number,
        new_batches.batch_date,
        {% for field in fields -%}
        accounts.{{ field }},
        {% endfor -%}
        {{ dbt.hash(concat_columns(fields, 'accounts')) }} as fingerprint

    from accounts

    inner join new_batches
        on
            accounts.batch_date = new_batches.batch_date
            and accounts.loaded_at = new_batches.loaded_at

    where accounts.account_id is not null

    {%- if is_incremental() %}

    {#- Of the batches taken before, the last is all that a new one follows. #}
    union all

    select
        existing_changes.account_id,
        last_processed_batch.batch_number,
        null as batch_date,
        {% for field in fields -%}
        null as {{ field }},
        {% endfor -%}
        existing_changes.fingerprint

    from existing_changes

    inner join last_processed_changes
        on
            existing_changes.account_id = last_processed_changes.account_id
            and existing_changes.batch_date = last_processed_changes.batch_date

    cross join last_processed_batch

    where existing_changes.change_kind in ('arrived', 'changed')
    {%- endif %}

),

{#- Of an account's rows in one batch any would do, if it is always the same:
    the last one here, which the next row is not of. #}
ordered_rows as (

    select
        *,
        lead(batch_number) over (
            partition by account_id
            order by batch_number, fingerprint
        ) as next_batch_number

    from account_rows

),

account_states as (

    select
        *,
        lag(batch_number) over (
            partition by account_id
            order by batch_number
        ) as previous_batch_number,
        lag(fingerprint) over (
            partition by account_id
            order by batch_number
        ) as previous_fingerprint

    from ordered_rows

    where coalesce(next_batch_number, 0) != batch_number

),

sightings as (

    select
        *,
        case
            when previous_batch_number = batch_number - 1
                then case
                    when previous_fingerprint != fingerprint then 'changed'
                end
            when batch_date is not null then 'arrived'
        end as seen_change_kind,
        coalesce(next_batch_number, 0) != batch_number + 1 as is_missing_next

    from account_states

),

{#- Rows for what was seen and what was missed come of a cross join, as a union
    of two readings is computed twice on some engines, accounts and all. #}
roles as (

    select true as is_seen

    union all

    select false as is_seen

),

account_changes as (

    select
        sightings.*,
        roles.is_seen,
        next_batches.batch_date as next_batch_date

    from sightings

    inner join roles
        on
            (roles.is_seen and sightings.seen_change_kind is not null)
            or (not roles.is_seen and sightings.is_missing_next)

    left join batches as next_batches
        on sightings.batch_number + 1 = next_batches.batch_number

),

changes as (

    select
        account_id,
        case when is_seen then batch_date else next_batch_date end as batch_date,
        case when is_seen then seen_change_kind else 'vanished' end as change_kind,
        {% for field in fields -%}
        case when is_seen then {{ field }} end as {{ field }},
        {% endfor -%}
        case when is_seen then fingerprint end as fingerprint,
        cast(null as {{ dbt.type_timestamp() }}) as loaded_at,
        cast(null as bigint) as count_rows,
        cast(null as {{ dbt.type_string() }}) as parsed_with

    from account_changes

    where is_seen or next_batch_date is not null

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
        '{{ cancellation_source_settings() }}' as parsed_with

    from new_batches

)

select * from changes
{%- endmacro %}


{# `columns` as one text that differs if any of them does. #}
{% macro concat_columns(columns, relation=none) -%}
    {%- set prefix = relation ~ '.' if relation else '' -%}
    {%- for column in columns -%}
    {%- if not loop.first %} || chr(31) || {% endif -%}
    coalesce({{ to_canonical_string(
        prefix ~ column,
        'double' if column == 'monthly_recurring_revenue' else none
    ) }}, chr(30))
    {%- endfor -%}
{%- endmacro %}


{# How the CRM's columns are read: what was read otherwise is read again. #}
{% macro cancellation_source_settings() -%}
    {{ var('cancellation_source') }}
    {%- if var('crm_date_format') is not none %} {{
        var('crm_date_format') | replace("'", "''")
    }}{%- endif -%}
{%- endmacro %}


{#
    Deletes from the change history {{ this }} every batch from the first on
    that is no longer what accepted: one that arrived late, came to be
    quarantined, has grown or was read otherwise. Nothing where it still holds.
#}
{% macro delete_stale_batches(status_column) -%}
{%- if is_incremental() -%}
{%- set first_outdated -%}
select min(coalesce(taken.batch_date, accepted.batch_date))

    from (
        select * from {{ this }} where change_kind = 'batch'
    ) as taken

    full outer join (
        select * from {{ ref('int_crm_batches_validated') }}
        where {{ status_column }} = 'accepted'
    ) as accepted
        on taken.batch_date = accepted.batch_date

    where
        taken.batch_date is null
        or accepted.batch_date is null
        or taken.loaded_at != accepted.loaded_at
        or taken.count_rows != accepted.count_rows
        or taken.parsed_with != '{{ cancellation_source_settings() }}'
{%- endset -%}
{{ delete_rows(this, 'batch_date >= (' ~ first_outdated ~ ')') }}
{%- endif -%}
{%- endmacro %}
