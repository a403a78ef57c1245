"""Erase a person from the stores of the page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import sqlalchemy as sa

from churn.config import Project, UserError
from churn.operations.pii import ERASED, Eraser
from churn.web.actions import SCHEMA, actions
from churn.web.publish import current_snapshot, publish
from churn.web.settings import actions_url, serving_url


def erase_actions(project: Project, eraser: Eraser) -> Counter[str]:
    """Erase the person in the store of actions; return the changed rows.

    Actions stay: who did what and when is the evidence of experiments.

    Raises:
        UserError: The store cannot be used.
    """
    url = actions_url(serving_url(project))
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and not Path(str(url.database)).exists():
        return Counter()
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    schema = None if is_sqlite else SCHEMA
    table = actions if is_sqlite else actions.to_metadata(sa.MetaData(), schema=SCHEMA)
    text_columns = [
        column.name for column in table.c if isinstance(column.type, sa.Text)
    ]
    changed = 0
    try:
        if not sa.inspect(engine).has_table(table.name, schema=schema):
            return Counter()
        with engine.begin() as connection:
            if is_sqlite:
                connection.exec_driver_sql("pragma secure_delete=on")
            for row in connection.execute(sa.select(table)).mappings().all():
                is_subject = str(row["account_id"]).strip() in eraser.pseudonyms
                new = {}
                for name in text_columns:
                    value = row[name]
                    if value is None:
                        continue
                    pii = eraser.classes.pii_of("raw_retention_actions", name)
                    is_cleared = is_subject and pii in ("contact", "free_text")
                    erased = ERASED if is_cleared else eraser.text(value)
                    if erased != value:
                        new[name] = erased
                if new:
                    changed += 1
                    connection.execute(
                        table.update()
                        .where(table.c.sequence == row["sequence"])
                        .values(new)
                    )
        if is_sqlite:
            # Free pages and the write-ahead log hold old values.
            with engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert raw is not None
                raw.isolation_level = None
                raw.execute("vacuum")
                raw.execute("pragma wal_checkpoint(truncate)")
        elif changed:
            _vacuum(engine, f"{SCHEMA}.{table.name}")
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise UserError(
            f"The store of actions cannot be used ({reason}): check CHURN_ACTIONS_URL."
        ) from None
    finally:
        engine.dispose()
    return Counter({"store of actions": changed} if changed else {})


def replace_snapshot(project: Project, is_needed: bool) -> bool:
    """Publish the serving snapshot again if there is one; return whether it was.

    Raises:
        UserError: The store cannot be used.
    """
    url = serving_url(project)
    if not is_needed or not current_snapshot(url):
        return False
    publish(project, url, allow_fewer=True, allow_older=True)
    if url.get_backend_name() != "sqlite":
        # PostgreSQL keeps the previous snapshot.
        publish(project, url, allow_fewer=True, allow_older=True)
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        # Statistics of dropped tables hold some of their values.
        _vacuum(engine, "pg_catalog.pg_statistic")
    return True


def _vacuum(engine: sa.Engine, table: str) -> None:
    """Rewrite a table of PostgreSQL without dead rows, which hold old values.

    A role that owns neither the table nor the database may not; PostgreSQL then warns
    and skips it.
    """
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.exec_driver_sql(f"vacuum (full, analyze) {table}")
