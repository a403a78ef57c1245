{{ config(enabled=var('cancellation_source') in ('dates', 'flags')) }}

with

labels as (

    select * from {{ ref('churn_labels') }}

),

naive_labels as (

    select * from {{ ref('int_naive_churn') }}

),

compared_labels as (

    select
        labels.as_of_date,
        labels.label_status,
        labels.is_churned,
        naive_labels.is_naively_churned

    from labels

    inner join naive_labels
        on labels.account_id = naive_labels.account_id

),

label_comparison as (

    select
        as_of_date,
        label_status,
        cast(count(*) as bigint) as count_accounts,
        cast(sum(case when is_naively_churned then 1 else 0 end) as bigint)
            as count_naively_churned,
        cast(
            sum(
                case
                    when is_churned then 1
                    when not is_churned then 0
                end
            ) as bigint
        ) as count_churned,
        cast(
            sum(
                case
                    when is_churned is null then null
                    when is_naively_churned and not is_churned then 1
                    else 0
                end
            ) as bigint
        ) as count_churned_only_naively,
        cast(
            sum(
                case
                    when is_churned is null then null
                    when is_churned and not is_naively_churned then 1
                    else 0
                end
            ) as bigint
        ) as count_missed_naively

    from compared_labels

    group by 1, 2

)

select * from label_comparison
