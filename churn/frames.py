"""What dbt hands to a Python model, as pandas data frames."""

from __future__ import annotations

from typing import Any

import pandas as pd


def as_frame(relation: Any) -> pd.DataFrame:
    """The rows of what ``dbt.ref`` returned, whichever engine runs."""
    for method in ("df", "toPandas", "to_pandas"):
        if hasattr(relation, method):
            return getattr(relation, method)()
    return relation


def existing_rows(dbt: Any, session: Any) -> pd.DataFrame | None:
    """What the table of the running model holds, ``None`` if there is no table.

    Args:
        dbt: The object that dbt hands to a Python model.
        session: The engine's session: a DuckDB connection or a Spark session.
    """
    try:
        return as_frame(session.sql(f"select * from {dbt.this}"))
    except Exception as error:
        # Each engine has an exception of its own; all of them say it in words.
        words = str(error).lower()
        if any(told in words for told in _NO_SUCH_TABLE):
            return None
        raise


_NO_SUCH_TABLE = ("does not exist", "not_found", "cannot be found", "not found")
