{%- set read_columns = [
    'signup_date', 'seats', 'monthly_recurring_revenue', 'cancelled_service',
    'new_customer',
] -%}

with

signals as (

    select * from {{ ref('int_account_signals') }}

    where first_known_in_batch is not null

),

changes as (

    select * from {{ ref('int_account_changes') }}

    where change_kind != 'batch'

),

deliveries as (

    select * from {{ ref('int_crm_deliveries_judged') }}

),

arrivals as (

    select * from {{ ref('int_source_arrivals') }}

),

signal_findings as (

    select
        account_id,
        first_known_in_batch as batch_date,
        case
            when effect = 'repeats' and signal_kind = 'cancellation'
                then 'second_cancellation'
            when effect = 'repeats'
                then 'restart_without_cancellation'
            when effect = 'corrected_signup'
                then 'changed_signup_date'
            when signal_kind = 'cancellation'
                then 'cancellation_before_signup'
            else 'restart_before_signup'
        end as finding,
        concat(
            source_column,
            ' ',
            cast(signal_on as {{ dbt.type_string() }})
        ) as detail

    from signals

    where
        effect in (
            'repeats', 'before_signup', 'never_started', 'corrected_signup'
        )

),

accounts_without_signup as (

    select
        changes.account_id,
        min(changes.batch_date) as batch_date,
        'missing_signup_date' as finding,
        'no batch names a readable signup_date' as detail

    from changes

    left join signals
        on
            changes.account_id = signals.account_id
            and signals.source_column = 'signup_date'

    where signals.account_id is null

    group by 1, 3, 4

),

unreadable_values as (

    {% for column in read_columns -%}
    select
        account_id,
        min(batch_date) as batch_date,
        'unreadable_value' as finding,
        concat('{{ column }}: ', unreadable_{{ column }}) as detail

    from changes

    where unreadable_{{ column }} is not null

    group by 1, 3, 4
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

-- Whatever the effect of a signal came to be later, the last one that had been
-- told by then says whether the account stood cancelled.
signals_before_vanishing as (

    select
        changes.account_id,
        changes.batch_date,
        signals.signal_kind,
        row_number() over (
            partition by changes.account_id, changes.batch_date
            order by signals.signal_on desc, signals.order_in_day desc
        ) as recency

    from changes

    left join signals
        on
            changes.account_id = signals.account_id
            and changes.batch_date > signals.first_known_in_batch
            and signals.effect not in ('before_signup', 'corrected_signup')

    where changes.change_kind = 'vanished'

),

vanished_accounts as (

    select
        account_id,
        batch_date,
        'account_vanished' as finding,
        'not in this batch, and no cancellation was told before' as detail

    from signals_before_vanishing

    where recency = 1 and coalesce(signal_kind, 'start') != 'cancellation'

),

half_batches as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'half_batch' as finding,
        concat(
            'loaded at ',
            {{ as_text('loaded_at', 'timestamp') }},
            ': ',
            cast(count_accounts as {{ dbt.type_string() }}),
            ' accounts, the last complete batch held ',
            cast(
                coalesce(former_count_accounts, 0) as {{ dbt.type_string() }}
            )
        ) as detail

    from deliveries

    where verdict = 'half'

),

imperfect_batches as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'missing_account_id' as finding,
        concat(
            cast(count_rows_without_account as {{ dbt.type_string() }}),
            ' rows'
        ) as detail

    from deliveries

    where verdict = 'landed' and count_rows_without_account > 0

    union all

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        batch_date,
        'repeated_account' as finding,
        concat(
            cast(
                count_rows - count_rows_without_account - count_accounts
                as {{ dbt.type_string() }}
            ),
            ' rows more than accounts'
        ) as detail

    from deliveries

    where
        verdict = 'landed'
        and count_rows - count_rows_without_account > count_accounts

),

delivered_days as (

    select distinct batch_date from deliveries

),

expected_bounds as (

    select
        (select min(batch_date) from delivered_days) as first_day,
        greatest(
            (select max(batch_date) from delivered_days),
            (select {{ add_days('max(last_decided_day)', -1) }} from arrivals)
        ) as last_day

),

missing_batches as (

    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        expected_days.day as batch_date,
        'missing_batch' as finding,
        'no batch of this day has arrived' as detail

    from {{ date_series(
        '(select first_day from expected_bounds)',
        '(select last_day from expected_bounds)'
    ) }} as expected_days

    left join delivered_days
        on expected_days.day = delivered_days.batch_date

    where delivered_days.batch_date is null

),

findings as (

    select * from signal_findings

    union all

    select * from accounts_without_signup

    union all

    select * from unreadable_values

    union all

    select * from vanished_accounts

    union all

    select * from half_batches

    union all

    select * from imperfect_batches

    union all

    select * from missing_batches

)

select * from findings
