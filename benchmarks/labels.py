"""CRM models at the size of a large company.

Measures one day's run on top of a year of change history, and all labels of that year.
A year of full batches would be 365 rows per account, which a run does not read again,
so they need not be generated. Instead dbt reads two batches, the first and the last but
one, and the change history of the days between is inserted directly. The measured run
then reads the batch of the last day.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

from benchmarks.running import DbtRun, connect, run_dbt

DAYS = 365
FIRST_DAY = "2025-01-06"

# The models between a batch and its labels.
HISTORY = [
    "stg_salesforce__accounts",
    "stg_salesforce__contacts",
    "+int_source_watermarks",
    "int_crm_batches",
    "int_crm_batches_validated",
    "int_crm_batches_accepted",
    "int_crm_batch_dates",
    "int_account_changes",
    "int_last_known_date",
    "int_subscription_events",
    "int_account_attributes_history",
    "int_account_users",
    "int_as_of_dates",
    "int_naive_churn",
    "subscription_periods",
    "crm_data_issues",
]
LABELS = ["subscription_periods", "churn_labels"]


@dataclass(frozen=True)
class Measurement:
    """One measured run.

    Attributes:
        name: Description of the run.
        seconds: Wall-clock seconds, including the start of dbt.
        cpu_seconds: CPU seconds of all threads.
        peak_bytes: Peak memory of dbt, including DuckDB.
        rows: Description of the data.
        slowest: The three slowest models with their seconds.
    """

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows: str
    slowest: list[tuple[str, float]]

    @classmethod
    def of(cls, name: str, run: DbtRun, rows: str) -> Measurement:
        """Create the measurement of a dbt run."""
        by_seconds = sorted(run.model_seconds.items(), key=lambda item: -item[1])
        return cls(
            name,
            run.seconds,
            run.cpu_seconds,
            run.peak_bytes,
            rows,
            by_seconds[:3],
        )


def measure(accounts: int, batches_kept: int) -> list[Measurement]:
    """Measure one day's CRM run and the labels of a year of as-of dates.

    Args:
        accounts: Number of accounts in each batch.
        batches_kept: Number of full batches in `raw_accounts` when the measured run
            starts, at least 2: the new one and earlier ones.

    Returns:
        The measurements of the day's run and of the labels.

    Raises:
        ValueError: ``batches_kept`` is less than 2.
    """
    if batches_kept < 2:
        raise ValueError("batches_kept must be at least 2: the new and the last batch.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with connect(folder) as connection:
            create_raw_tables(connection, accounts)
            add_batch(connection, 0)
        run_dbt(folder, "run", "--select", *HISTORY)
        with connect(folder) as connection:
            write_history(connection)
            connection.execute("delete from raw.raw_accounts")
            for day in range(DAYS - batches_kept, DAYS - 1):
                add_batch(connection, day)
        run_dbt(folder, "run", "--select", *HISTORY)
        labels = run_dbt(folder, "run", "--select", *LABELS)
        with connect(folder) as connection:
            add_batch(connection, DAYS - 1)
        day = run_dbt(folder, "run", "--select", *HISTORY, "churn_labels")
        with connect(folder) as connection:
            changes, history_days, raw_rows, dates, labels_count = connection.execute(
                """
                select
                    (select count(*) from int_account_changes
                        where batch_scope = 'all' and change_kind != 'batch'),
                    (select count(*) from int_account_changes
                        where batch_scope = 'all' and change_kind = 'batch'),
                    (select count(*) from raw.raw_accounts),
                    (select count(distinct as_of_date) from churn_labels),
                    (select count(*) from churn_labels)
                """
            ).fetchone()
    return [
        Measurement.of(
            "one day's CRM run, with its labels",
            day,
            f"{accounts:,} accounts, {raw_rows:,} raw rows kept; history of "
            f"{history_days} batches: {changes:,} changes",
        ),
        Measurement.of(
            "labels of a year",
            labels,
            f"{labels_count:,} labels of {dates} as-of dates",
        ),
    ]


def create_raw_tables(connection: duckdb.DuckDBPyConnection, accounts: int) -> None:
    """Create the raw tables, and a table with the state of each account by day.

    In the year about one in four accounts cancels, four in ten of those restart after
    1 to 150 days, and six in ten accounts change plan or seats once.
    """
    connection.execute(
        f"""
        create schema raw;
        create table raw.raw_events (
            payload varchar, received_at timestamp, source_file varchar);
        create table raw.raw_accounts (
            batch_date date, loaded_at timestamp, account_id varchar,
            company_name varchar, industry varchar, signup_date varchar,
            plan varchar, seats varchar, monthly_recurring_revenue varchar,
            cancelled_service varchar, new_customer varchar);
        create table raw.raw_contacts (
            user_id varchar, account_id varchar, role varchar,
            batch_date date, loaded_at timestamp);
        create table raw.raw_invoices (
            invoice_id varchar, account_id varchar, invoice_date date,
            due_date date, amount double, status varchar, loaded_at timestamp);
        create table raw.raw_calls (
            call_id varchar, account_id varchar, started_at timestamp,
            duration_seconds integer, topic varchar, loaded_at timestamp);

        create schema simulation;
        create table simulation.accounts as
        select
            '001' || lpad(cast(number as varchar), 12, '0') as account_id,
            'Company ' || number as company_name,
            ['hotel', 'student housing', 'hospital'][1 + number % 3] as industry,
            date '{FIRST_DAY}' - cast(hash(number) % 1500 as integer) - 1
                as signup_date,
            5 + cast(hash(number, 1) % 200 as integer) as seats,
            case when hash(number, 2) % 100 < 60
                then cast(hash(number, 3) % {DAYS} as integer)
            end as change_day,
            case when hash(number, 4) % 100 < 25
                then cast(hash(number, 5) % {DAYS} as integer)
            end as cancellation_day,
            case when hash(number, 6) % 100 < 40
                then cancellation_day + 1 + cast(hash(number, 7) % 150 as integer)
            end as restart_day
        from range({accounts}) as numbers (number);
        """
    )


def add_batch(connection: duckdb.DuckDBPyConnection, day: int) -> None:
    """Insert the full batch of one day, counted from the first."""
    connection.execute(
        f"""
        insert into raw.raw_accounts
        select
            date '{FIRST_DAY}' + {day},
            timestamp '{FIRST_DAY} 03:00:00' + interval {day + 1} day,
            account_id,
            company_name,
            industry,
            cast(signup_date as varchar),
            case when change_day <= {day} then 'plus' else 'basic' end,
            cast(seats as varchar),
            cast(seats * 12.5 as varchar),
            case when cancellation_day <= {day}
                then cast(date '{FIRST_DAY}' + cancellation_day as varchar)
            end,
            case when restart_day <= {day}
                then cast(date '{FIRST_DAY}' + restart_day as varchar)
            end
        from simulation.accounts
        """
    )


def write_history(connection: duckdb.DuckDBPyConnection) -> None:
    """Insert the change history of the days between the first and last two batches.

    Each change of an account is one row as dbt writes it, except for its fingerprint,
    which only has to differ from the one before. The next batch that dbt reads finds
    those accounts changed again.
    """
    last = DAYS - 2
    connection.execute(
        f"""
        insert into int_crm_batches by name
        select
            date '{FIRST_DAY}' + cast(day as integer) as batch_date,
            timestamp '{FIRST_DAY} 03:00:00' + to_days(cast(day as integer) + 1)
                as loaded_at,
            batches.* exclude (batch_date, loaded_at)
        from range(1, {last}) as days (day), int_crm_batches as batches
        """
    )
    connection.execute(
        f"""
        insert into int_account_changes by name
        select
            first_batches.* replace (
                batches.batch_date as batch_date,
                batches.loaded_at as loaded_at
            )
        from int_crm_batches as batches
        cross join (
            select * from int_account_changes where change_kind = 'batch'
        ) as first_batches
        where batches.batch_date > first_batches.batch_date;

        insert into int_account_changes by name
        select
            first_states.* replace (
                date '{FIRST_DAY}' + days.day as batch_date,
                'changed' as change_kind,
                case when change_day <= days.day
                    then 'plus' else 'basic'
                end as plan,
                case when cancellation_day <= days.day
                    then date '{FIRST_DAY}' + cancellation_day
                end as cancellation_date,
                case when restart_day <= days.day
                    then date '{FIRST_DAY}' + restart_day
                end as restart_date,
                md5(first_states.fingerprint || days.day) as fingerprint
            )
        from int_account_changes as first_states
        inner join (
            select distinct
                account_id, change_day, cancellation_day,
                restart_day, unnest([
                    change_day, cancellation_day, restart_day
                ]) as day
            from simulation.accounts
        ) as days
            on first_states.account_id = days.account_id
        where
            first_states.change_kind = 'arrived'
            and days.day between 1 and {last - 1};
        """
    )
