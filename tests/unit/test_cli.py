"""The command line: fast help, one sentence for each error, documented exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import click
import duckdb
import pytest
from click.testing import CliRunner

from churn.cli import main as cli
from churn.cli.main import COMMANDS, churn, main
from churn.config import Project, UserError
from tests.support.paths import ROOT

SHARED = {"--project-dir", "--profiles-dir", "--target", "--database"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without a database or a profile of the developer."""
    for name in list(os.environ):
        if name.startswith(("DBT_", "CHURN_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Provide a DuckDB file with a table."""
    path = tmp_path / "some.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select range from range(100000)")
    return path


def options_of(command: click.Command) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_debug(name: str) -> None:
    result = CliRunner().invoke(churn, [name, "--help"], prog_name="churn")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: churn {name} ")
    module = importlib.import_module(f"churn.cli.{name.replace('-', '_')}")
    assert module.command.name == name
    group = module.command
    parts = group.commands.values() if isinstance(group, click.Group) else [group]
    for command in parts:
        assert "--debug" in options_of(command)
        if name not in ("demo", "init", "pull"):
            assert options_of(command) >= SHARED
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help
                assert parameter.help.endswith(".")


def test_every_module_of_a_command_is_listed() -> None:
    helpers = {"__init__", "main", "options", "output"}
    modules = {path.stem for path in (ROOT / "churn" / "cli").glob("*.py")} - helpers
    assert modules == {name.replace("-", "_") for name in COMMANDS}


def test_help_imports_no_heavy_module() -> None:
    """The list of commands and the completion import each command's module."""
    program = textwrap.dedent(
        """
        import sys
        from churn.cli.main import main
        main(["--help"])
        roots = {name.partition(".")[0] for name in sys.modules}
        print(sorted(roots & set(sys.argv[1:])))
        """
    )
    heavy = ["duckdb", "pandas", "numpy", "pyarrow", "dbt", "rich", "yaml", "jinja2"]
    finished = subprocess.run(
        [sys.executable, "-c", program, *heavy],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert finished.stdout.splitlines()[-1] == "[]"


def test_python_m_churn_is_the_console_script() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "churn", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert finished.stdout.startswith("Usage: churn [OPTIONS] COMMAND")
    assert 'churn = "churn.cli.main:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explode"], "No such command 'explode'"),
        (["summary", "--colour"], "No such option '--colour'"),
        (["summary", "--accounts", "many"], "--accounts"),
        (["explain"], "Missing argument 'ACCOUNT'"),
        (["backfill", "--from", "yesterday", "--to", "2025-01-01"], "'yesterday'"),
        (
            ["backfill", "--from", "2025-01-02", "--to", "2025-01-01"],
            "--to must not be before --from",
        ),
        (
            ["backfill", "--from=2025-01-02", "--to=2025-01-02", "--vars=[1]"],
            "is not a JSON object",
        ),
    ],
)
def test_wrong_use_exits_with_2_and_one_sentence(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHURN_DUCKDB_PATH", "none.duckdb")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert "--help`." in captured.err
    assert len(captured.err.splitlines()) == 1


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in COMMANDS)


@pytest.mark.parametrize("name", ["summary", "explain", "report", "dictionary", "load"])
def test_outside_a_project_one_sentence_says_so(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = {"explain": ["a1"], "load": ["."]}
    assert main([name, *needed.get(name, [])]) == 1
    error = capsys.readouterr().err
    assert "There is no dbt_project.yml" in error
    assert "--project-dir" in error
    assert len(error.splitlines()) == 1


def test_options_can_precede_the_command(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option after the command's name wins."""
    arguments = ["--database", str(database), "summary"]
    assert main(arguments) == 1
    assert "run `dbt build` first" in capsys.readouterr().err
    assert main([*arguments, "--database", "other.duckdb"]) == 1
    assert "There is no database" in capsys.readouterr().err


def summary_of(database: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the sentence with which `churn summary` fails."""
    assert main(["summary", "--database", str(database)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) == 1
    return captured.err


def test_database_that_is_no_database_is_named(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = database.read_bytes()
    assert len(content) > 20_000
    for size in (9_000, len(content) // 2):
        database.write_bytes(content[:size])
        assert "is truncated or damaged" in summary_of(database, capsys)
    corrupted = bytearray(content)
    corrupted[4096:8192] = bytes(reversed(content[4096:8192]))
    database.write_bytes(corrupted)
    assert "is truncated or damaged" in summary_of(database, capsys)
    for foreign in (b"", b"SQLite format 3\x00" * 300, b"\x00" * 5000):
        database.write_bytes(foreign)
        assert "is not a DuckDB file" in summary_of(database, capsys)
    assert "There is no database" in summary_of(tmp_path / "none.duckdb", capsys)


def test_locked_database_names_the_process(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = (
        "import duckdb, sys; held = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        sentence = summary_of(database, capsys)
        holder.communicate("")
    assert f"is in use by process {holder.pid}" in sentence
    assert "wait until it has ended" in sentence


class Failing(click.Command):
    """A command that raises an error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("summary", params=[])
        self.error = error

    def invoke(self, ctx: click.Context) -> None:  # noqa: ARG002
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UserError("Do this."), 1, "Do this.\n"),
        (UserError("a\x1b[31m\nb"), 1, "a\\x1b[31m b\n"),
        (
            ValueError("first\nsecond"),
            1,
            "churn summary stopped because of an unexpected ValueError: first; run it "
            "with --debug for the traceback.\n",
        ),
        (
            PermissionError(13, "Permission denied", "/x"),
            1,
            "churn summary stopped: /x: Permission denied; give this user the right to "
            "read and write there, then run again.\n",
        ),
        (
            duckdb.CatalogException("Table with name t does not exist!\nDid you"),
            1,
            "The database has no table t: run `dbt build` first.\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "churn summary was interrupted: run it again to continue.\n",
        ),
    ],
)
def test_errors_are_one_sentence_and_a_code(
    error: BaseException,
    code: int,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(
        cli.LazyGroup, "get_command", lambda *_: Failing(error), raising=True
    )
    assert main(["summary"]) == code
    assert capsys.readouterr().err == sentence
    assert main(["--debug", "summary"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback")
    assert printed.endswith(sentence)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signals_end_a_command_with_one_sentence(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """The demo company is generated in several processes, which end too."""
    out = tmp_path / "landing"
    command = [sys.executable, "-m", "churn", "demo", f"--out={out}", "--workers=2"]
    with subprocess.Popen(
        [*command, "--accounts=3000", "--days=3000"],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        # The first line of progress shows that it has begun.
        process.stderr.readline()
        # Ctrl-C in a terminal reaches the whole group, SIGTERM one process.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        error = process.stderr.read().splitlines()
    assert process.returncode == code
    assert error[-1] == "churn demo was interrupted: run it again to continue."
    assert not any("Traceback" in line for line in error)
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        finished = subprocess.run(
            [sys.executable, "-m", "churn", "--help"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert finished.stderr == ""
    assert finished.returncode == 141


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_completion_script(shell: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "churn"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_CHURN_COMPLETE": f"{shell}_source",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_CHURN_COMPLETE" in finished.stdout
    completed = subprocess.run(
        [sys.executable, "-m", "churn"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_CHURN_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "churn back",
            "COMP_CWORD": "1" if shell != "fish" else "back",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "backfill" in completed.stdout


def test_run_refuses_a_companys_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: company\nprofile: company\n")
    (tmp_path / "profiles.yml").write_text(
        "company: {outputs: {default: {type: duckdb, path: company.duckdb}}}\n"
    )
    assert main(["run"]) == 1
    assert "not in `company`" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_connection_finds_the_tables_of_all_layers(database: Path) -> None:
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema main_staging")
        connection.execute("create table main_staging.stg_t as select 1 as one")
    with Project.load(database=database).connect() as connection:
        assert connection.execute("select one from stg_t").fetchall() == [(1,)]
        zone = connection.execute("select current_setting('TimeZone')").fetchall()
        assert zone == [("UTC",)]
