"""The lines of the clickstream files that `raw_event_files` names."""

from churn.event_files import TakenFile, find_event_files, new_lines
from churn.frames import existing_relation


def model(dbt, session):
    """Take the files that are new, or have grown, since the last run."""
    dbt.config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="source_file",
    )
    files = find_event_files(dbt.config.meta_get("raw_event_files"))
    taken = {}
    if dbt.is_incremental:
        taken = {
            name: TakenFile(*about)
            for name, *about in existing_relation(dbt, session)
            .aggregate(
                "source_file, min(file_bytes), min(file_sha256), "
                "min(received_at), count(*)"
            )
            .fetchall()
        }
    return new_lines(files, taken)
