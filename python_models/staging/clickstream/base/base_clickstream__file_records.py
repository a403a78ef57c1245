"""The lines of the clickstream files that `raw_event_files` names."""

from churn.engine_io import as_batches
from churn.ingest.event_files import LoadedFile, find_event_files, new_lines


def model(dbt, session):
    """Load the files that are new or have grown since the last run."""
    dbt.config(materialized="incremental", incremental_strategy="append")
    files = find_event_files(dbt.config.meta_get("raw_event_files"))
    loaded = {}
    if dbt.is_incremental:
        loaded_files = session.sql(
            "select source_file, min(file_bytes) as bytes, "
            "min(file_sha256) as sha256, min(received_at) as modified_at, "
            f"count(*) as lines from {dbt.this} group by source_file"
        )
        for row in as_batches(loaded_files).read_all().to_pylist():
            name = row.pop("source_file")
            loaded[name] = LoadedFile(**row)
    return new_lines(files, loaded)
