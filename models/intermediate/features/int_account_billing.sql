{{
    config(
        enabled=var('has_invoices'),
        pre_hook="{{ delete_stale_snapshots(
            this, ref('int_feature_snapshot_dates')
        ) }}",
    )
}}

with

accounts as (

    select * from {{ ref('int_account_status') }}

    where
        is_open
        and {{ new_as_of_date_filter(ref('int_feature_snapshot_dates')) }}

),

snapshot_dates as (

    select * from {{ ref('int_feature_snapshot_dates') }}

    {% if is_incremental() -%}
    where finalized_at > {{ high_watermark(this, 'finalized_at') }}
    {%- endif %}

),

invoice_versions as (

    select * from {{ ref('stg_billing__invoice_versions') }}

    where is_on_time

),

invoices_due_in_window as (

    select distinct
        snapshot_dates.as_of_date,
        invoice_versions.invoice_id

    from invoice_versions

    inner join snapshot_dates
        on
            invoice_versions.due_date < snapshot_dates.as_of_date
            and invoice_versions.due_date
            >= {{ dbt.dateadd('day', -90, 'snapshot_dates.as_of_date') }}

),

-- An invoice may be postponed, so all versions known by the date are ranked.
ranked_versions as (

    select
        invoice_versions.*,
        invoices_due_in_window.as_of_date,
        row_number() over (
            partition by
                invoices_due_in_window.as_of_date, invoice_versions.invoice_id
            order by
                invoice_versions.loaded_at desc,
                invoice_versions.account_id asc,
                invoice_versions.due_date asc nulls last,
                invoice_versions.invoice_date asc nulls last,
                invoice_versions.status asc nulls last,
                invoice_versions.amount asc nulls last
        ) as recency

    from invoice_versions

    inner join invoices_due_in_window
        on
            invoice_versions.invoice_id = invoices_due_in_window.invoice_id
            and invoice_versions.loaded_at < {{ dbt.dateadd(
                'hour',
                var('allowed_lateness_hours'),
                'invoices_due_in_window.as_of_date'
            ) }}

),

invoices_in_window as (

    select
        as_of_date,
        account_id,
        invoice_id,
        status,
        {{ dbt.datediff('due_date', 'as_of_date', 'day') }} as days_before

    from ranked_versions

    where
        recency = 1
        and due_date < as_of_date
        and due_date >= {{ dbt.dateadd('day', -90, 'as_of_date') }}

),

invoice_counts as (

    select
        accounts.as_of_date,
        accounts.account_id,
        cast(count(invoices.invoice_id) as bigint) as invoices_90d,
        {% for status in ['late', 'failed', 'refunded'] -%}
        cast(count(
            case when invoices.status = '{{ status }}' then 1 end
        ) as bigint) as {{ status }}_invoices_90d,
        {% endfor -%}
        min(
            case
                when invoices.status in ('late', 'failed')
                    then invoices.days_before
            end
        ) as days_since_unpaid_invoice

    from accounts

    left join invoices_in_window as invoices
        on
            accounts.as_of_date = invoices.as_of_date
            and accounts.account_id = invoices.account_id

    group by 1, 2

),

billing as (

    select
        *,
        {{ safe_divide(
            'late_invoices_90d + failed_invoices_90d', 'invoices_90d'
        ) }} as unpaid_invoice_share_90d,
        {{ high_watermark(ref('int_feature_snapshot_dates'), 'finalized_at') }}
            as finalized_at

    from invoice_counts

)

select * from billing
