"""The lines of the clickstream files that `raw_event_files` names."""

from churn.engine_io import as_batches, column_names
from churn.ingest.event_files import LoadedFile, find_event_files, new_lines


def model(dbt, session):
    """Load the files that are new or have grown since the last run."""
    dbt.config(
        materialized="incremental",
        incremental_strategy="append",
        on_schema_change="append_new_columns",
    )
    files = find_event_files(dbt.config.meta_get("raw_event_files"))
    loaded = {}
    if dbt.is_incremental:
        modified_at = "max(received_at)"
        if "file_modified_at" in column_names(session.sql(f"select * from {dbt.this}")):
            modified_at = f"coalesce(max(file_modified_at), {modified_at})"
        loaded_files = session.sql(
            "select source_file, min(file_bytes) as bytes, "
            f"min(file_sha256) as sha256, {modified_at} as modified_at, "
            f"count(*) as lines from {dbt.this} group by source_file"
        )
        for row in as_batches(loaded_files).read_all().to_pylist():
            name = row.pop("source_file")
            loaded[name] = LoadedFile(**row)
    return new_lines(files, loaded)
