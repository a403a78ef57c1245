{%- set parsed_columns = [
    'signup_date', 'seats', 'monthly_recurring_revenue', 'cancelled_service',
    'new_customer',
] -%}

with

subscription_events as (

    select * from {{ ref('int_subscription_events') }}

    where first_known_in_batch is not null

),

changes as (

    select * from {{ ref('int_account_changes') }}

    where batch_scope = 'all' and change_kind != 'batch'

),

batches as (

    select * from {{ ref('int_crm_batches_validated') }}

),

watermarks as (

    select * from {{ ref('int_source_watermarks') }}

),

event_issues as (

    select
        account_id,
        first_known_in_batch as batch_date,
        case
            when transition = 'repeats' and event_type = 'cancellation'
                then 'second_cancellation'
            when transition = 'repeats'
                then 'restart_without_cancellation'
            when transition = 'corrected_signup'
                then 'changed_signup_date'
            when event_type = 'cancellation'
                then 'cancellation_before_signup'
            else 'restart_before_signup'
        end as issue,
        concat(
            source_column,
            ' ',
            cast(event_date as {{ dbt.type_string() }})
        ) as detail

    from subscription_events

    where
        transition in (
            'repeats', 'before_signup', 'never_started', 'corrected_signup'
        )

),

accounts_without_signup as (

    select
        changes.account_id,
        min(changes.batch_date) as batch_date,
        'missing_signup_date' as issue,
        'no batch names a readable signup_date' as detail

    from changes

    left join subscription_events
        on
            changes.account_id = subscription_events.account_id
            and subscription_events.source_column = 'signup_date'

    where subscription_events.account_id is null

    group by 1, 3, 4

),

unreadable_values as (

    {% for column in parsed_columns -%}
    select
        account_id,
        min(batch_date) as batch_date,
        'unreadable_value' as issue,
        concat('{{ column }}: ', unreadable_{{ column }}) as detail

    from changes

    where unreadable_{{ column }} is not null

    group by 1, 3, 4
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

-- The last event that was known before the batch tells whether the account was
-- cancelled.
events_before_vanishing as (

    select
        changes.account_id,
        changes.batch_date,
        subscription_events.event_type,
        row_number() over (
            partition by changes.account_id, changes.batch_date
            order by
                subscription_events.event_date desc,
                subscription_events.order_in_day desc
        ) as recency

    from changes

    left join subscription_events
        on
            changes.account_id = subscription_events.account_id
            and changes.batch_date > subscription_events.first_known_in_batch
            and subscription_events.transition
            not in ('before_signup', 'corrected_signup')

    where changes.change_kind = 'vanished'

),

vanished_accounts as (

    select
        account_id,
        batch_date,
        'account_vanished' as issue,
        'not in this batch, and not cancelled before' as detail

    from events_before_vanishing

    where recency = 1 and coalesce(event_type, 'start') != 'cancellation'

),

incomplete_batches as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'incomplete_batch' as issue,
        concat(
            'loaded at ',
            {{ to_canonical_string('loaded_at', 'timestamp') }},
            ': ',
            cast(count_accounts as {{ dbt.type_string() }}),
            ' accounts, the last complete batch held ',
            cast(
                coalesce(previous_count_accounts, 0) as {{ dbt.type_string() }}
            )
        ) as detail

    from batches

    where batch_status = 'incomplete'

),

batches_with_bad_rows as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'missing_account_id' as issue,
        concat(
            cast(count_rows_without_account as {{ dbt.type_string() }}),
            ' rows'
        ) as detail

    from batches

    where batch_status = 'accepted' and count_rows_without_account > 0

    union all

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'repeated_account' as issue,
        concat(
            cast(
                count_rows - count_rows_without_account - count_accounts
                as {{ dbt.type_string() }}
            ),
            ' rows more than accounts'
        ) as detail

    from batches

    where
        batch_status = 'accepted'
        and count_rows - count_rows_without_account > count_accounts

),

batch_dates as (

    select distinct batch_date from batches

),

expected_bounds as (

    select
        (select min(batch_date) from batch_dates) as first_date,
        greatest(
            (select max(batch_date) from batch_dates),
            (select {{ dbt.dateadd(
                'day', -1, 'max(latest_complete_date)'
            ) }} from watermarks)
        ) as last_date

),

missing_batches as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        expected_dates.date_day as batch_date,
        'missing_batch' as issue,
        'no batch of this day has arrived' as detail

    from (
        {{ dbt.date_spine(
            'day',
            '(select first_date from expected_bounds)',
            '(select ' ~ dbt.dateadd('day', 1, 'last_date') ~ ' from expected_bounds)'
        ) }}
    ) as expected_dates

    left join batch_dates
        on expected_dates.date_day = batch_dates.batch_date

    where batch_dates.batch_date is null

),

issues as (

    select * from event_issues

    union all

    select * from accounts_without_signup

    union all

    select * from unreadable_values

    union all

    select * from vanished_accounts

    union all

    select * from incomplete_batches

    union all

    select * from batches_with_bad_rows

    union all

    select * from missing_batches

)

select * from issues
