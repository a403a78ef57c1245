"""How often each JSON path occurs in each delivered file."""

from churn.onboarding.profile import profiled_paths


def model(dbt, session):
    """Count the paths of the files that were loaded since the last run."""
    dbt.config(materialized="incremental", incremental_strategy="append")
    shapes = dbt.ref("base_clickstream__record_shapes")
    if dbt.is_incremental:
        shapes = shapes.filter(
            "processed_at > (select "
            "coalesce(max(processed_at), timestamp '0001-01-01') "
            f"from {dbt.this})"
        )
    return profiled_paths(shapes, dbt.ref("base_clickstream__public_paths"))
