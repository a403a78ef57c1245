"""The runs of `churn daily`, from its journal."""

from churn.engine_io import existing_rows
from churn.operations.runs import rows_to_add


def model(dbt, session):
    """Return the runs that the journal has and the table lacks."""
    dbt.config(
        materialized="incremental",
        unique_key="run_id",
        # Runs cannot be built again.
        full_refresh=False,
        on_schema_change="append_new_columns",
    )
    return rows_to_add(existing_rows(dbt, session) if dbt.is_incremental else None)
