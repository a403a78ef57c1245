"""Finds the project's tables in the schemas of all layers, on DuckDB."""

from __future__ import annotations

import duckdb


def use_schemas(connection: duckdb.DuckDBPyConnection, schema: str = "main") -> None:
    """Let queries name the tables of all layers without a schema.

    Marts are in the target schema. Other layers are in schemas whose names begin
    with it, such as ``main_staging`` (dbt's ``generate_schema_name``).

    Args:
        connection: A connection to the database that dbt built.
        schema: The target schema.

    Raises:
        duckdb.CatalogException: The database does not have this schema.
    """
    layers = connection.execute(
        """select distinct schema_name from duckdb_schemas()
        where database_name = current_database() and starts_with(schema_name, ?)
        order by 1""",
        [f"{schema}_"],
    ).fetchall()
    names = [schema, *(name for (name,) in layers)]
    path = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    connection.execute("set search_path = '" + path.replace("'", "''") + "'")
