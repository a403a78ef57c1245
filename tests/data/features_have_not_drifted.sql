{{ config(severity='warn') }}

with

drift as (

    select * from {{ ref('feature_drift') }}

),

newest_date as (

    select max(as_of_date) as as_of_date from drift

),

drifted_features as (

    select
        drift.model_version,
        drift.as_of_date,
        drift.feature,
        drift.population_stability_index,
        drift.expected_psi,
        drift.mean_value,
        drift.training_mean_value,
        drift.missing_share,
        drift.training_missing_share

    from drift

    inner join newest_date
        on drift.as_of_date = newest_date.as_of_date

    where
        drift.theme not in ('age', 'cohort', 'newer_cohorts')
        and (
            (
                drift.population_stability_index
                > {{ var('max_psi') }}
                and drift.population_stability_index > 3 * drift.expected_psi
            )
            or drift.missing_share - drift.training_missing_share
            > {{ var('max_missing_rate_increase') }}
        )

)

select * from drifted_features
