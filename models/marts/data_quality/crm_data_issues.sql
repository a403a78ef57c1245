{%- set parsed_columns = [
    'signup_date', 'seats', 'monthly_recurring_revenue', 'cancelled_service',
    'new_customer',
] -%}
{%- set is_subscriptions = var('cancellation_source') == 'subscriptions' -%}
{#- (raw table, CTE, columns of its arrival time, parsed columns) -#}
{%- set sources = [
    ('raw_accounts', 'accounts', ['batch_date', 'loaded_at'], []),
] -%}
{%- if var('has_contacts') -%}
{%- do sources.append(('raw_contacts', 'contacts', ['loaded_at'], [])) -%}
{%- endif -%}
{%- if var('has_invoices') -%}
{%- do sources.append((
    'raw_invoices', 'invoice_versions', ['loaded_at'], ['due_date', 'amount']
)) -%}
{%- endif -%}
{%- if var('has_support_calls') -%}
{%- do sources.append((
    'raw_calls', 'call_versions', ['loaded_at'],
    ['started_at', 'duration_seconds']
)) -%}
{%- endif -%}
{%- if is_subscriptions -%}
{%- do sources.append((
    'raw_subscriptions', 'subscription_versions', ['loaded_at'],
    ['monthly_recurring_revenue']
)) -%}
{%- endif %}

with

subscription_events as (

    select * from {{ ref('int_subscription_events') }}

),

event_versions as (

    select * from {{ ref('int_subscription_event_versions') }}

    where
        batch_scope = 'all'
        and source_column not in ('vanished', 'returned')

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

accounts as (

    select * from {{ ref('stg_salesforce__accounts') }}

    where {{ partition_filter_last_record('raw_accounts') }}

),

{% if var('has_contacts') -%}
contacts as (

    select * from {{ ref('stg_salesforce__contacts') }}

    where {{ partition_filter_last_record('raw_contacts') }}

),

{% endif -%}
{% if var('has_invoices') -%}
invoice_versions as (

    select * from {{ ref('stg_billing__invoice_versions') }}

),

{% endif -%}
{% if var('has_support_calls') -%}
call_versions as (

    select * from {{ ref('stg_support__call_versions') }}

),

{% endif -%}
{% if is_subscriptions -%}
subscription_versions as (

    select * from {{ ref('stg_billing__subscription_versions') }}

),

{% endif -%}
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
            when transition = 'corrected'
                then 'corrected_cancellation'
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
            'repeats', 'before_signup', 'never_started', 'corrected_signup',
            'corrected'
        )
        and source_column not in (
            'cancelled_service_cleared', 'vanished', 'returned', 'subscription'
        )

),

first_signups as (

    select
        account_id,
        min(event_date) as signup_date

    from event_versions

    where source_column = 'signup_date'

    group by 1

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

    where
        subscription_events.account_id is null
        {#- Then a subscription is the start. #}
        and {{ (var('cancellation_source') != 'subscriptions') | lower }}

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
        event_versions.event_type,
        row_number() over (
            partition by changes.account_id, changes.batch_date
            order by
                event_versions.event_date desc nulls last,
                event_versions.order_in_day desc
        ) as recency

    from changes

    left join first_signups
        on changes.account_id = first_signups.account_id

    left join event_versions
        on
            changes.account_id = event_versions.account_id
            and changes.batch_date > event_versions.known_date
            and (
                event_versions.withdrawn_date is null
                or changes.batch_date <= event_versions.withdrawn_date
            )
            and event_versions.source_column != 'signup_date'
            and event_versions.event_date
            >= coalesce(first_signups.signup_date, event_versions.event_date)

    where changes.change_kind = 'vanished'

),

vanished_accounts as (

    select
        account_id,
        batch_date,
        'account_vanished' as issue,
        'not in this batch, and not cancelled before' as detail

    from events_before_vanishing

    where
        recency = 1
        and coalesce(event_type, 'start') != 'cancellation'
        and {{ (var('cancellation_source') != 'subscriptions') | lower }}

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

implausible_arrivals as (

    {% for table, rows, columns, _ in sources -%}
    {%- for column in columns -%}
    select
        cast(null as {{ dbt.type_string() }}) as account_id,
        cast(null as date) as batch_date,
        'implausible_arrival_time' as issue,
        concat(
            '{{ table }}: ',
            cast(count(*) as {{ dbt.type_string() }}),
            ' rows without a plausible {{ column }}, such as ',
            min(implausible_{{ column }})
        ) as detail

    from {{ rows }}

    where implausible_{{ column }} is not null

    having count(*) > 0
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor -%}
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

{%- for table, rows, _, columns in sources if columns %}

unreadable_{{ rows }} as (

    {% for column in columns -%}
    select
        account_id,
        min(cast(loaded_at as date)) as batch_date,
        'unreadable_value' as issue,
        concat('{{ table }}.{{ column }}: ', unreadable_{{ column }}) as detail

    from {{ rows }}

    where unreadable_{{ column }} is not null

    group by 1, 3, 4
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),
{%- endfor %}

{% if is_subscriptions -%}
unusable_subscriptions as (

    select
        account_id,
        min(cast(loaded_at as date)) as batch_date,
        'unusable_subscription' as issue,
        concat(
            subscription_id, ': ', reject_reason, ', ',
            coalesce(started_at_text, 'no start'), ' to ',
            coalesce(ended_at_text, 'no end')
        ) as detail

    from subscription_versions

    where reject_reason is not null

    group by 1, 3, 4

),

{% endif -%}
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

    union all

    select * from implausible_arrivals
    {%- for _, rows, _, columns in sources if columns %}

    union all

    select * from unreadable_{{ rows }}
    {%- endfor %}
    {%- if is_subscriptions %}

    union all

    select * from unusable_subscriptions
    {%- endif %}

)

select * from issues
