"""Objects found in the records that are not one strict JSON object."""

from churn.ingest.json_repair import repaired_records


def model(dbt, session):
    """Split and repair the records that were loaded since the last run."""
    dbt.config(materialized="incremental", incremental_strategy="append")
    records = dbt.ref("base_clickstream__parsed_records").filter("needs_repair")
    if dbt.is_incremental:
        records = records.filter(
            "processed_at > (select "
            "coalesce(max(processed_at), timestamp '0001-01-01') "
            f"from {dbt.this})"
        )
    return repaired_records(records)
