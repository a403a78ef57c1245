"""The project on Spark: one session, and as few runs as possible.

Three companies. First, the seeds are run on the rows that arrived before a date,
Spark gets a left-over table of a killed run, and everything is built: all tests and
unit tests pass, and every table equals that of DuckDB after the same two runs. The
second company is small and dirty, and its records arrive in random order: its tables on
Spark after several runs, one of them killed, equal one full refresh on DuckDB. The
third company is the seeds with another configuration.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost as xgb
from pyspark.sql import SparkSession

import dbt_local_python.spark as local_spark
from churn.engine_io import as_batches, as_frame
from churn.ml.dataset import read_training_data
from churn.ml.features import read_features
from churn.ml.model import LinearPart
from churn.ml.predict import RiskBands, Scorer, score, scorer_from
from churn.ml.train_on_spark import train_on_spark
from tests.dbt.test_labels_oracle import expected
from tests.support import arrivals
from tests.support.engines import DuckdbEngine, Engine, SparkEngine, stop_spark
from tests.support.forgotten import (
    DEVICE,
    USER,
    check_forgotten,
    check_small_tables,
    small_tables,
)
from tests.support.forgotten import rows_of as rows_of_relation
from tests.support.other_company import (
    build_other_company,
    check_accounts_leave_by_events,
)
from tests.support.parity import (
    NOT_COMPARED,
    Built,
    differences,
    rows_of,
    snapshot_differences,
    tables_built,
)
from tests.support.paths import ROOT
from tests.support.project import DbtProject

PROJECT = """
name: small
profile: churn
models:
  small:
    +submission_method: local
    +file_format: iceberg
"""
# The macros that every project needs whose Iceberg tables are in a session catalog.
ICEBERG_MACROS = ["spark__list_relations_without_caching", "spark__drop_relation"]
PYTHON_MODELS = {
    "rows": """
        import pandas as pd

        def model(dbt, session):
            dbt.config(materialized="table")
            return pd.DataFrame({"day": ["a", "b"], "number": [1, None]})
        """,
    "appended": """
        def model(dbt, session):
            dbt.config(materialized="incremental", incremental_strategy="append")
            rows = dbt.ref("rows")
            if dbt.is_incremental:
                rows = rows.filter(f"day > (select min(day) from {dbt.this})")
            return rows
        """,
    "overwritten": """
        def model(dbt, session):
            dbt.config(
                materialized="incremental",
                incremental_strategy="insert_overwrite",
                partition_by="day",
            )
            rows = dbt.ref("rows").select("number", "day")
            if dbt.is_incremental:
                rows = rows.filter("day = 'b'").selectExpr("7.0D as number", "day")
            return rows
        """,
    "merged": """
        def model(dbt, session):
            dbt.config(
                materialized="incremental",
                incremental_strategy="merge",
                unique_key="day",
                partition_by=["truncate(1, day)"],
            )
            rows = dbt.ref("rows").select("number", "day")
            if dbt.is_incremental:
                last_day = f"select max(day) from {dbt.this}"
                rows = session.sql(f"select 8.0D as number, ({last_day}) as day")
            return rows
        """,
    "counting": """
        def model(dbt, session):
            dbt.config(materialized="table")
            rows = dbt.ref("rows").select("day", "number")
            if session.catalog.tableExists(str(dbt.this)):
                # The table that is being replaced can still be read.
                rows = session.table(str(dbt.this)).union(rows)
            return rows
        """,
    "as_parquet": """
        def model(dbt, session):
            dbt.config(materialized="table", file_format="parquet", partition_by="day")
            return dbt.ref("rows").select("number", "day")
        """,
    "failing": """
        def model(dbt, session):
            return dbt.ref("rows").mapInArrow(lambda batches: 1 / 0, "day string")
        """,
}

# The column with the time of arrival in each raw table.
ARRIVED = {
    "raw_events": "received_at",
    "raw_accounts": "loaded_at",
    "raw_contacts": "loaded_at",
    "raw_invoices": "loaded_at",
    "raw_calls": "loaded_at",
}
# Tables whose rows are final: they do not change when records arrive later.
FINAL_TABLES = ["account_features", "churn_score_history"]
MONDAY = 0
# Tables that cannot be rebuilt.
HISTORY = ["churn_models", "churn_score_history"]

# Spark does not compile a larger method, which makes it 50 % slower.
JAVA_METHOD_BYTES = 65_536

# The seed of the second company, and its dbt variables.
COMPANY = 1
OF_COMPANY = {"raw_schema": "arriving", "load_demo_seeds": False}
# Tables that a killed run has dropped.
DROPPED = ["int_visitor_users", "subscription_periods"]
# Where another run is killed: rows are deleted, and not yet inserted.
KILLED_BEFORE = [
    r"insert into arrived_intermediate\.int_account_changes ",
    r"merge into arrived_intermediate\.int_visitor_activity_daily ",
]


@pytest.fixture(scope="module")
def spark(tmp_path_factory) -> SparkEngine:
    """Provide the session that all tests of this file share."""
    yield SparkEngine(tmp_path_factory.mktemp("spark"), schema="churn")
    stop_spark()


@pytest.fixture(scope="module")
def final_rows() -> dict[str, dict[str, list]]:
    """Collect the final rows of Spark's first run, by table."""
    return {}


@pytest.fixture(scope="module")
def built(spark, final_rows) -> Built:
    """Build the seeds on both engines in two runs; Spark's first run was killed."""
    duckdb = DuckdbEngine(spark.folder)
    duckdb.dbt("seed")
    halfway = first_part_ends_at(duckdb)
    spark.dbt("seed")
    for engine in (duckdb, spark):
        for table, arrived_at in ARRIVED.items():
            engine.keep_rows(f"raw.{table}", f"{arrived_at} < {halfway}")
        engine.dbt("run")
    for table in FINAL_TABLES:
        final_rows[table] = rows_of(spark, spark.relation(table))
    spark.leave_behind("churn_models", "__dbt_tmp")
    duckdb.dbt("seed")
    duckdb.dbt("run")
    result = spark.dbt("build", "--exclude-resource-types", "test", "unit_test")
    return Built(spark, duckdb, tables_built(result))


def first_part_ends_at(engine: Engine) -> str:
    """Return the time by which two thirds of the CRM batches had arrived, as SQL."""
    moments = engine.rows("select distinct loaded_at from raw.raw_accounts order by 1")
    moments = moments.column("loaded_at").to_pylist()
    return f"cast('{moments[len(moments) * 2 // 3]}' as timestamp)"


def test_every_table_is_the_same_row_for_row(built) -> None:
    different = differences(built)
    assert len(built.tables) > 50
    assert not different, "\n".join(different)


def test_the_page_shows_the_same_from_either_engine(built) -> None:
    different = snapshot_differences(built)
    assert not different, "\n".join(different)


@pytest.mark.long
def test_data_tests_and_unit_tests_pass(built) -> None:
    """Rows that equal DuckDB's pass them too, so this tests the SQL of the tests."""
    built.engine.dbt("test")


def test_no_temporary_table_of_an_interrupted_run_remains(built) -> None:
    assert built.engine.relations() <= {*built.tables, *NOT_COMPARED}


@pytest.mark.parametrize("table", FINAL_TABLES)
def test_final_rows_do_not_change(built, final_rows, table) -> None:
    before = final_rows[table]
    now = rows_of(built.engine, built.engine.relation(table))
    columns = sorted(before)
    rows = set(zip(*(now[name] for name in columns), strict=True))
    expected_rows = [
        row
        for row, day in zip(
            zip(*(before[name] for name in columns), strict=True),
            before["as_of_date"],
            strict=True,
        )
        # A date off the grid has features only while it is the latest.
        if day.weekday() == MONDAY or table != "account_features"
    ]
    assert expected_rows
    assert [row for row in expected_rows if row not in rows] == []


def test_history_is_never_dropped(built) -> None:
    """A full refresh keeps the tables that cannot be rebuilt."""
    engine = built.engine
    tables = [engine.relation(name) for name in HISTORY]
    before = [rows_of(engine, table) for table in tables]
    engine.dbt("run", "--full-refresh", "--select", *HISTORY)
    for table, rows in zip(tables, before, strict=True):
        assert rows
        assert {name: sorted(map(str, column)) for name, column in rows.items()} == {
            name: sorted(map(str, column))
            for name, column in rows_of(engine, table).items()
        }


def test_maintenance_changes_no_row_and_keeps_one_snapshot(built) -> None:
    engine, model = built.engine, "int_visitor_sessions"
    table = engine.relation(model)

    def count(part: str) -> int:
        return engine.rows(f"select * from {table}.{part}").num_rows

    before, files, snapshots = (
        rows_of(engine, table),
        count("files"),
        count("snapshots"),
    )
    assert snapshots > 1
    options = json.dumps({"keep_days": 0, "models": [model]})
    engine.dbt("run-operation", "maintain_tables", "--args", options)
    assert count("snapshots") == 1
    assert count("files") < files
    after = rows_of(engine, table)
    assert before.keys() == after.keys()
    assert sorted(map(str, zip(*before.values(), strict=True))) == sorted(
        map(str, zip(*after.values(), strict=True))
    )


def test_a_record_is_parsed_once(built) -> None:
    """Spark's plan parses a payload once, and Java can compile its methods."""
    engine = built.engine
    code = compiled_code(engine, "base_clickstream__parsed_records")
    assert executed_plan(engine.session, code).count("parseJson(") == 1
    (generated,) = engine.session.sql(f"explain codegen {code}").collect()[0]
    # Spark 4.1 generates no code for higher-order functions, which two steps use, so
    # there are two methods.
    assert "Found 2 WholeStageCodegen subtrees." in generated
    sizes = [int(size) for size in re.findall(r"maxMethodCodeSize:(\d+)", generated)]
    assert len(sizes) == 2
    assert all(0 < size < JAVA_METHOD_BYTES * 3 // 4 for size in sizes)


def test_versions_of_events_are_shuffled_once(built) -> None:
    """Both parts of the union, and both joins, use the same shuffled rows."""
    code = compiled_code(built.engine, "base_clickstream__event_versions")
    session = built.engine.session.newSession()
    # Spark broadcasts tables as small as these. An adaptive plan shows what is used
    # again only after it has run.
    session.conf.set("spark.sql.autoBroadcastJoinThreshold", "-1")
    session.conf.set("spark.sql.adaptive.enabled", "false")
    plan = executed_plan(session, code)
    assert plan.count("BatchScan") == 2, plan
    assert plan.count("ReusedExchange") == 2, plan


def compiled_code(engine: Engine, model: str) -> str:
    """Return the query of the full refresh of a model."""
    compiled = engine.dbt("compile", "--full-refresh", "--select", model)
    nodes = [each.node for each in compiled.result.results]
    (code,) = [node.compiled_code for node in nodes if node.name == model]
    return str(code)


def executed_plan(session: SparkSession, query: str) -> str:
    """Return the physical plan of a query."""
    return str(session.sql(query)._jdf.queryExecution().executedPlan().toString())


@pytest.mark.long
def test_the_driver_holds_one_batch_at_a_time(built) -> None:
    """Training reads many times more than Spark lets its driver collect."""
    session = built.engine.session
    columns = ", ".join(f"rand({number}) as feature_{number}" for number in range(20))
    many = session.range(200_000).selectExpr(
        "cast(id as string) as account_id",
        "date '2025-03-03' as as_of_date",
        "id % 9 = 0 as is_churned",
        *columns.split(", "),
    )
    settings = session.sparkContext._jsc.sc().conf()
    settings.set("spark.driver.maxResultSize", "8m")
    try:
        with pytest.raises(Exception, match="maxResultSize"):
            many.toArrow()
        batches = [len(batch) for batch in as_batches(many, rows=5_000)]
        training_data = read_training_data(
            many, [f"feature_{number}" for number in range(20)]
        )
    finally:
        settings.remove("spark.driver.maxResultSize")
    assert sum(batches) == 200_000
    assert max(batches) <= 5_000
    assert training_data.matrix.shape == (200_000, 20)


@pytest.fixture(scope="module")
def trained_by_spark(built) -> Scorer:
    """Provide a model that XGBoost's Spark estimator has trained and registered."""
    engine = built.engine
    registry = f"{engine.schema}.churn_models"
    before = engine.rows(f"select * from {registry}")
    engine.dbt(
        "run",
        "--select",
        "churn_models",
        training_engine="spark",
        # Only trees are fitted on Spark.
        monotone_constraints="always",
    )
    after = engine.rows(f"select * from {registry}")
    versions = [set(rows["model_version"].to_pylist()) for rows in (before, after)]
    assert after.schema.equals(before.schema)
    (version,) = versions[1] - versions[0]
    return scorer_from(
        registry=as_frame(engine.session.table(registry)),
        features=read_features(
            as_frame(engine.session.table(f"{engine.schema}.feature_dictionary"))
        ),
        bands=RiskBands(medium_from=0.05, high_from=0.15),
        pinned_version=version,
    )


@pytest.mark.parametrize("has_linear_part", [False, True])
def test_executors_score_like_this_process(
    built, trained_by_spark, has_linear_part: bool
) -> None:
    scorer = trained_by_spark
    assert scorer.model.rounds > 0
    if has_linear_part:
        draw = np.random.default_rng(20250301)
        size = len(scorer.model.feature_names)
        slopes, offsets, missing = draw.normal(0, 0.1, (3, size))
        linear = LinearPart(
            -3.0,
            slopes.tolist(),
            [0.0] * size,
            [5.0] * size,
            offsets.tolist(),
            missing.tolist(),
            tree_weight=0.5,
        )
        scorer = replace(scorer, model=replace(scorer.model, linear=linear))
    table = built.engine.relation("int_accounts_to_score")
    accounts = built.engine.rows(f"select * from {table}")
    local = score(accounts, scorer).read_all()
    score(built.engine.session.table(table), scorer).createOrReplaceTempView(
        "scored_by_executors"
    )
    remote = built.engine.rows("select * from scored_by_executors")

    assert remote.schema.equals(local.schema)
    assert len(local) == len(remote) > 10
    local, remote = local.sort_by("account_id"), remote.sort_by("account_id")
    assert local["churn_probability"].to_pylist() == pytest.approx(
        remote["churn_probability"].to_pylist(), abs=1e-6
    )
    for name in ("account_id", "risk_band", "reason_1", "reason_2", "reason_3"):
        assert local[name].to_pylist() == remote[name].to_pylist(), name


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("is_boosted_from_margins", [False, True])
def test_trees_of_spark_rank_like_local_trees(is_boosted_from_margins: bool) -> None:
    """With the same parameters, both give similar predictions for training rows."""
    draw = np.random.default_rng(20250301)
    matrix = draw.random((2_000, 5), dtype=np.float32)
    matrix[::7, 3] = np.nan
    labels = (draw.random(2_000) < matrix[:, 0] ** 2).astype(np.float32)
    parameters = {"eta": 0.1, "max_depth": 3, "seed": 1, "tree_method": "hist"}
    names = [f"column {number}" for number in range(5)]
    margins = 3 * matrix[:, 0] - 2 if is_boosted_from_margins else None
    spread = train_on_spark(
        matrix, labels, np.arange(2_000), names, parameters, 30, margins
    )
    data = xgb.DMatrix(matrix, labels, base_margin=margins, feature_names=names)
    local = xgb.train({**parameters, "objective": "binary:logistic"}, data, 30)
    assert spread.num_boosted_rounds() == local.num_boosted_rounds() == 30
    assert spread.predict(data) == pytest.approx(local.predict(data), abs=0.05)


@pytest.fixture(scope="module")
def arrived(spark, module_project) -> Built:
    """Build a dirty company, in two runs on Spark and in one on DuckDB.

    Before the second run, tables are missing, as after a kill between drop and create,
    and one run is killed between a delete and the insert that follows it.
    """
    engine = SparkEngine(spark.folder, schema="arrived")
    module_project.create_raw_tables()
    batches = arrivals.batches(
        COMPANY, arrivals.company(COMPANY, events=1_500, visitors=40), count=2
    )
    for number, batch in enumerate(batches):
        for name, rows in batch.items():
            module_project.write(f"raw.{name}", rows)
            engine.append(f"arriving.{name}", as_raw(module_project, name, rows))
        if number:
            engine.drop(*DROPPED)
            with engine.killed_before(*KILLED_BEFORE) as killed:
                engine.dbt("run", "--select", *arrivals.LINE, check=False, **OF_COMPANY)
            assert len(killed) == len(KILLED_BEFORE)
        engine.dbt("run", "--select", *arrivals.LINE, **OF_COMPANY)
    module_project.dbt("run", "--select", *arrivals.LINE, load_demo_seeds=False)
    duckdb = DuckdbEngine(module_project.folder)
    return Built(engine, duckdb, list(arrivals.TABLES))


def as_raw(project: DbtProject, table: str, rows: pd.DataFrame) -> pa.Table:
    """Return rows with all columns of the raw table, and their types."""
    with project.connect() as connection:
        connection.register("new_rows", rows)
        return connection.sql(
            f"from (from raw.{table} limit 0) union all by name from new_rows"
        ).to_arrow_table()


@pytest.mark.long
def test_runs_in_any_order_equal_a_full_refresh(arrived) -> None:
    for table in arrived.tables:
        relation = arrived.engine.relation(table)
        rows = arrived.engine.rows(f"select count(*) as n from {relation}")
        assert rows["n"][0].as_py(), f"{table} is empty, so the comparison is void"
    different = differences(arrived)
    assert not different, "\n".join(different)


@pytest.mark.long
def test_no_arrived_record_is_lost(arrived) -> None:
    arrived.engine.dbt(
        "test",
        "--select",
        "no_raw_record_is_lost",
        "every_raw_record_is_processed",
        **OF_COMPANY,
    )


@pytest.mark.long
def test_labels_agree_with_the_brute_force_computation(arrived) -> None:
    company = arrivals.crm_company(COMPANY)
    periods, labels, _ = expected(company, grace=30, horizon=30, frequency="weekly")
    found = arrived.engine.rows(
        """select account_id, period_number, tenure_number, start_date, end_date,
            end_reason, is_winback from arrived.subscription_periods"""
    )
    assert tuples(found) == periods
    found = arrived.engine.rows(
        """select account_id, as_of_date, is_churned, label_status, churn_date
        from arrived.churn_labels"""
    )
    # The latest date differs, because other sources than the CRM arrive too.
    assert {row for row in tuples(found) if row[1].weekday() == MONDAY} >= {
        row for row in labels if row[1].weekday() == MONDAY
    }
    ends = [period[5] for period in periods]
    assert min(map(ends.count, ("churn", "pause", "pending"))) > 1


def tuples(rows: pa.Table) -> set[tuple]:
    return set(zip(*(column.to_pylist() for column in rows.columns), strict=True))


def iceberg_macros() -> str:
    """Returns the source of ICEBERG_MACROS."""
    source = (ROOT / "macros/adapters/spark/spark_tables.sql").read_text()
    return "\n".join(
        re.search(rf"{{% macro {name}\(.*?endmacro %}}", source, re.DOTALL)[0]
        for name in ICEBERG_MACROS
    )


def test_python_models_of_any_project(spark, tmp_path) -> None:
    """Tables, both incremental strategies, and an error with its line."""
    (tmp_path / "dbt_project.yml").write_text(PROJECT)
    (tmp_path / "macros").mkdir()
    (tmp_path / "macros" / "iceberg.sql").write_text(iceberg_macros())
    (tmp_path / "models").mkdir()
    for name, code in PYTHON_MODELS.items():
        (tmp_path / "models" / f"{name}.py").write_text(textwrap.dedent(code))
    engine = SparkEngine(spark.folder, schema="small", root=tmp_path)
    for _ in range(2):
        engine.dbt("run", "--exclude", "failing")

    def found(table: str) -> list[tuple]:
        rows = engine.rows(f"select day, number from small.{table} order by 1, 2")
        return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))

    assert found("rows") == [("a", 1.0), ("b", None)]
    assert found("appended") == [("a", 1.0), ("b", None), ("b", None)]
    assert found("overwritten") == [("a", 1.0), ("b", 7.0)]
    assert found("merged") == [("a", 1.0), ("b", 8.0)]
    assert found("counting") == 2 * [("a", 1.0)] + 2 * [("b", None)]
    assert found("as_parquet") == [("a", 1.0), ("b", None)]
    assert engine.relations() == set(PYTHON_MODELS) - {"failing"}

    (failed,) = engine.dbt("run", "--select", "failing", check=False).result.results
    assert "models/failing.py" in failed.message
    assert "ZeroDivisionError" in failed.message
    assert "lambda batches: 1 / 0" in failed.message


def test_local_rows_are_sent_in_parts(spark, monkeypatch) -> None:
    monkeypatch.setattr(local_spark, "_BYTES_PER_CHUNK", 1_000)
    table = pa.table({"number": range(1_000)})
    frame, rows = local_spark.as_spark_frame(
        spark.session,
        pa.RecordBatchReader.from_batches(
            table.schema, table.to_batches(max_chunksize=100)
        ),
    )
    assert rows == 1_000
    assert sorted(row.number for row in frame.collect()) == list(range(1_000))
    assert frame.rdd.getNumPartitions() > 1


@pytest.fixture(scope="module")
def other(spark, tmp_path_factory) -> Built:
    return build_other_company(
        SparkEngine(spark.folder, schema="other"),
        DuckdbEngine(tmp_path_factory.mktemp("duckdb")),
    )


@pytest.mark.long
def test_another_company_needs_only_configuration(other) -> None:
    check_accounts_leave_by_events(other)
    different = differences(other)
    assert not different, "\n".join(different)


@pytest.mark.long
def test_a_user_is_forgotten_in_tables_of_any_format(
    spark, tmp_path, monkeypatch
) -> None:
    """Iceberg tables are merged, others copied, and files of others listed."""
    engine = SparkEngine(spark.folder, schema="forgetting")
    for schema in ("forgetting", "forgetting_intermediate", "forgetting_raw"):
        engine.execute(f"create schema {schema}")
    external = spark.folder / "external"
    tables = small_tables(engine, f"array('about {DEVICE}', null)")
    for name, query in tables.items():
        is_iceberg = name != "forgetting_raw.raw_contacts"
        file_format = "iceberg" if is_iceberg else "parquet"
        engine.execute(f"create table {name} using {file_format} as {query}")
    engine.execute(
        f"create table forgetting_raw.exported using json location '{external}' "
        f"as select '{USER}' as user_id"
    )

    def files() -> Iterator[tuple[str, bytes]]:
        for path in (spark.folder / "warehouse").glob("forgetting*/**/*.parquet"):
            yield str(path), path.read_bytes()

    check_small_tables(engine, tmp_path, monkeypatch, str(external), files)
    snapshots = rows_of_relation(engine, "forgetting_raw.raw_events.snapshots")
    assert len(snapshots) == 1


@pytest.mark.long
def test_a_forgotten_user_is_in_no_relation_and_no_file(built) -> None:
    """The last test of this file, because it changes the tables."""
    engine = built.engine
    schemas = ["raw", engine.schema, f"{engine.schema}_staging"]
    schemas.append(f"{engine.schema}_intermediate")
    relations = [
        f"{schema}.{row['tableName']}"
        for schema in schemas
        for row in engine.rows(f"show tables in {schema}").to_pylist()
        if not row["isTemporary"]
    ]
    warehouse = engine.folder / "warehouse"
    # Other tests of this file have schemas of their own.
    own = tuple(str(warehouse / schema) for schema in schemas)

    def files() -> Iterator[tuple[str, bytes]]:
        for path in warehouse.rglob("*"):
            if path.is_file() and str(path).startswith(own):
                yield str(path), path.read_bytes()

    check_forgotten(engine, relations, files)


@pytest.mark.long
def test_parquet_tables_cannot_expire(built) -> None:
    """Spark deletes no rows of a Parquet table."""
    # dbt's result of an operation has no message, only its output.
    with pytest.raises(pytest.fail.Exception) as refused:
        built.engine.dbt("run-operation", "delete_expired", raw_days_kept=3)
    assert "is no Iceberg table" in " ".join(str(refused.value).split())
