"""Finds the dbt project, its profile and its database, as dbt does.

dbt's own configuration classes give the same answer, but importing them takes seconds,
and `churn summary` reads one table. This module therefore reads ``dbt_project.yml`` and
``profiles.yml`` itself. A template that uses more than ``env_var``, ``var`` and dbt's
filters is rendered by dbt. Tests compare the result with dbt's.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import jinja2

PACKAGE_NAME = "churn"
PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"

# The project in a wheel; a checkout has it two folders above.
_INSTALLED = Path(__file__).resolve().parent / "dbt_project"


class UserError(Exception):
    """Report what a user can correct; the message is one sentence."""


class NoProjectError(UserError):
    """Report that neither the current folder nor one above it is a dbt project."""


@dataclass(frozen=True)
class Project:
    """A dbt project with one target of its profile.

    Attributes:
        project_dir: The folder of ``dbt_project.yml``.
        profiles_dir: The folder of ``profiles.yml``.
        name: The project's name; ``churn`` for the package itself.
        profile_name: The profile in ``profiles.yml``.
        target: The target of the profile.
        adapter: dbt's adapter, such as ``duckdb``.
        credentials: The rendered output of that target.
        variables: The variables of the package's models, as dbt resolves them.
        package_dir: The folder of the dbt package ``churn``; ``project_dir`` in a
            checkout of the package.
    """

    project_dir: Path
    profiles_dir: Path
    name: str
    profile_name: str
    target: str
    adapter: str
    credentials: Mapping[str, Any] = field(repr=False)
    variables: Mapping[str, Any] = field(repr=False)
    package_dir: Path
    settings: Mapping[str, Any] = field(repr=False)
    given_database: Path | None = None

    @classmethod
    def load(
        cls,
        project_dir: Path | str | None = None,
        profiles_dir: Path | str | None = None,
        target: str | None = None,
        database: Path | str | None = None,
    ) -> Project:
        """Read the project and its profile.

        Args:
            project_dir: The folder of ``dbt_project.yml``. Default: the environment
                variable ``DBT_PROJECT_DIR``, else the current folder or the nearest
                folder above it that has the file. If there is none but a database is
                given, by ``database`` or ``CHURN_DUCKDB_PATH``: the package itself.
            profiles_dir: The folder of ``profiles.yml``. Default: the environment
                variable ``DBT_PROFILES_DIR``, else the first that has the profile of
                the current folder, the project's folder and ``~/.dbt``.
            target: The target. Default: ``DBT_TARGET``, else that of the profile.
            database: The DuckDB file, relative to the current folder. Default: that
                of the profile, relative to the project's folder.

        Raises:
            UserError: A file is missing or cannot be read, or the profile lacks the
                target.
        """
        folder = _find_project_dir(project_dir, has_database=database is not None)
        settings = _read_yaml(folder / PROJECT_FILE)
        name = str(settings.get("name") or "")
        profile_name = _dbt_environment("PROFILE") or _render(
            settings.get("profile"), f"`profile` in {folder / PROJECT_FILE}"
        )
        if not profile_name:
            raise UserError(
                f"{folder / PROJECT_FILE} names no profile: add a line such as "
                f"`profile: {name or 'my_company'}`."
            )
        profiles_path, profile = _find_profile(
            str(profile_name), profiles_dir or _dbt_environment("PROFILES_DIR"), folder
        )
        target, credentials = _pick_target(
            str(profile_name), profile, profiles_path, target
        )
        package_dir = _find_package_dir(folder, settings)
        return cls(
            project_dir=folder,
            profiles_dir=profiles_path.parent,
            name=name,
            profile_name=str(profile_name),
            target=target,
            adapter=str(credentials["type"]),
            credentials=credentials,
            variables=_resolve_variables(settings, package_dir),
            package_dir=package_dir,
            settings=settings,
            given_database=None if database is None else _absolute(database),
        )

    @property
    def is_package(self) -> bool:
        """Return whether this is the package itself, not a project that uses it."""
        return self.name == PACKAGE_NAME

    @property
    def schema(self) -> str:
        """Return the target schema; the names of other layers begin with it."""
        return str(self.credentials.get("schema", "main"))

    @property
    def threads(self) -> int:
        """Return the number of models that dbt builds at the same time."""
        return int(self.credentials.get("threads", 1))

    @property
    def database(self) -> Path:
        """Return the DuckDB file.

        Raises:
            UserError: The target is not a DuckDB file.
        """
        if self.given_database is not None:
            return self.given_database
        if self.adapter != "duckdb":
            raise UserError(
                f"The target `{self.target}` is on {self.adapter}, and this command "
                "reads a DuckDB file: name a DuckDB target with --target, or a file "
                "with --database."
            )
        path = str(self.credentials.get("path", ":memory:"))
        if path.startswith(":memory:") or re.match(r"\w{2,}:", path):
            raise UserError(
                f"The target `{self.target}` is the database {path}, and this command "
                "reads a DuckDB file: name one with --database."
            )
        return _absolute(self.work_dir / os.path.expanduser(path))

    @property
    def target_path(self) -> Path:
        """Return the folder of the files that dbt writes."""
        path = _dbt_environment("TARGET_PATH") or self.settings.get("target-path")
        return self.work_dir / str(path or "target")

    @property
    def work_dir(self) -> Path:
        """Return the folder of what a build writes.

        It is the project's folder, or the current folder for the project within an
        installed package.
        """
        return Path.cwd() if self.project_dir == _INSTALLED else self.project_dir

    def connect(self, read_only: bool = True) -> duckdb.DuckDBPyConnection:
        """Open the DuckDB file with all layers on the search path, in UTC.

        Raises:
            UserError: The file is missing, locked or not a DuckDB file, or dbt has
                built nothing in it.
        """
        import duckdb

        connection = open_database(self.database, read_only)
        try:
            use_schemas(connection, self.schema)
        except duckdb.CatalogException:
            connection.close()
            raise UserError(
                f"The database {self.database} has no schema `{self.schema}`: run "
                "`dbt build` first, or name another target with --target."
            ) from None
        return connection

    @cached_property
    def dbt_environment(self) -> dict[str, str]:
        """Return the environment variables with which dbt opens `database`.

        Raises:
            UserError: The profile does not read ``CHURN_DUCKDB_PATH``, so another
                database cannot be given.
        """
        if self.given_database is None:
            return {}
        name = "CHURN_DUCKDB_PATH"
        previous = os.environ.get(name)
        os.environ[name] = str(self.given_database)
        try:
            other = Project.load(self.project_dir, self.profiles_dir, self.target)
            if other.adapter != "duckdb" or other.database != self.given_database:
                raise UserError(
                    f"The profile `{self.profile_name}` in "
                    f"{self.profiles_dir / PROFILES_FILE} does not read {name}, so "
                    "--database cannot be used to build: write `path: "
                    f"\"{{{{ env_var('{name}') }}}}\"`, or name another target."
                )
        finally:
            if previous is None:
                del os.environ[name]
            else:
                os.environ[name] = previous
        return {name: str(self.given_database)}


def open_database(path: Path, read_only: bool = True) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB file, with UTC as the time zone.

    Args:
        path: The file; created if it is missing and ``read_only`` is false.
        read_only: Whether to open it for reading only.

    Raises:
        UserError: The file is missing, locked, truncated or not a DuckDB file.
    """
    import duckdb

    if read_only and not path.exists():
        raise UserError(
            f"There is no database {path}: run `dbt build` first, or name one with "
            "--database."
        )
    if path.is_dir():
        raise UserError(f"{path} is a folder: name a DuckDB file with --database.")
    if not path.parent.is_dir():
        raise UserError(f"There is no folder {path.parent} for the database: make it.")
    if not read_only:
        _delete_unfinished(path)
    if path.is_file() and not _is_duckdb_file(path):
        raise UserError(
            f"{path} is not a DuckDB file: name the one that dbt built with --database."
        )
    try:
        connection = duckdb.connect(str(path), read_only=read_only)
    except duckdb.Error as error:
        raise UserError(explain_database_error(error, path)) from error
    connection.execute("set TimeZone = 'UTC'")
    return connection


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End a transaction that failed, so that the error stays the first one.

    DuckDB ends a transaction itself if a commit fails or the disk is full.
    """
    import duckdb

    with contextlib.suppress(duckdb.Error):
        connection.execute("rollback")


def check_database(project: Project) -> None:
    """Raise UserError if the project's DuckDB file exists but cannot be written.

    DuckDB's own message would appear within a long stack trace of dbt.
    """
    try:
        path = project.database
    except UserError:
        return
    if path.exists():
        open_database(path, read_only=False).close()


def explain_database_error(error: Exception, path: Path | None = None) -> str:
    """Return one sentence for an error of DuckDB, with what to do.

    Args:
        error: A ``duckdb.Error``.
        path: The database, if it is known.
    """
    import duckdb

    message = str(error).strip()
    name = str(path) if path else "The database"
    holder = re.search(r"lock is held in .*\(PID (\d+)", message)
    if holder:
        return (
            f"The database {path or ''} is in use by process {holder[1]}, possibly "
            "another dbt run: wait until it has ended, then run again."
        ).replace("  ", " ")
    disk = disk_remedy(message)
    if disk:
        return f"{name} cannot be read or written: {disk}"
    if re.search(r"not read enough bytes|[Cc]orrupt|checksum", message):
        return (
            f"{name} is truncated or damaged: restore it from a copy, or delete it "
            "and build again."
        )
    if re.search(r"newer version|different version|storage version", message, re.I):
        return (
            f"{name} was written by another version of DuckDB than the installed "
            f"{duckdb.__version__}: install that version, or build the file again."
        )
    if isinstance(error, duckdb.CatalogException):
        table = re.search(r"Table with name (\S+) does not exist", message)
        missing = f"has no table {table[1]}" if table else "does not hold all tables"
        return f"{name} {missing}: run `dbt build` first."
    if isinstance(error, duckdb.BinderException):
        return (
            f"{name} was built by another version of this project "
            f"({_first_line(message)}): run `dbt build` first."
        )
    return f"{name} cannot be used: {_first_line(message)}"


# The main header and two headers of the database; blocks of tables follow.
_HEADER_BYTES = 3 * 4096
_AGAIN = "then run again."
# What a person does about an error of the operating system.
_DISK_REMEDIES = {
    errno.ENOSPC: f"free space on the disk, {_AGAIN}",
    errno.EDQUOT: f"free space within the quota, {_AGAIN}",
    errno.EFBIG: f"raise the limit of file sizes (`ulimit -f`), {_AGAIN}",
    errno.EIO: f"check the disk and its log, {_AGAIN}",
    errno.EROFS: f"make the disk writable, or name a folder on another one, {_AGAIN}",
    errno.EACCES: f"give this user the right to read and write there, {_AGAIN}",
    errno.EMFILE: f"raise the limit of open files (`ulimit -n`), {_AGAIN}",
}


def disk_remedy(message: str) -> str | None:
    """Return the system's error in a message and what to do, ``None`` without one.

    Args:
        message: A message that contains the text of an error number, as those of
            DuckDB, SQLite, Java and Python do.
    """
    for number, remedy in _DISK_REMEDIES.items():
        if os.strerror(number).lower() in message.lower():
            return f"{os.strerror(number)}; {remedy}"
    if re.search(r"database or disk is full", message):
        return f"{os.strerror(errno.ENOSPC)}; {_DISK_REMEDIES[errno.ENOSPC]}"
    if re.search(r"disk I/O error|fsync failed", message):
        return f"{os.strerror(errno.EIO)}; {_DISK_REMEDIES[errno.EIO]}"
    if re.search(r"attempt to write a readonly database|read-only mode", message):
        return f"{os.strerror(errno.EROFS)}; {_DISK_REMEDIES[errno.EROFS]}"
    return None


def explain_os_error(error: OSError) -> str:
    """Return what failed and what to do, without a subject, for an ``OSError``."""
    name = f"{error.filename}: " if error.filename else ""
    text = error.strerror or _first_line(str(error))
    return f"{name}{disk_remedy(text) or f'{text}.'}"


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0] if message.strip() else "no message"


def _delete_unfinished(path: Path) -> None:
    """Delete a file whose creation was interrupted, such as by a full disk.

    It is shorter than DuckDB's three headers, so no table is in it, and it has no log.
    A process that creates it at this moment holds its lock.
    """
    if (
        not path.is_file()
        or path.stat().st_size >= _HEADER_BYTES
        or path.with_name(f"{path.name}.wal").exists()
    ):
        return
    import fcntl

    with contextlib.suppress(OSError), path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.fstat(file.fileno()).st_size or _is_duckdb_file(path):
            path.unlink()


def _is_duckdb_file(path: Path) -> bool:
    """Return whether a file has DuckDB's magic bytes, or cannot be read here.

    DuckDB would try to download an extension for another database's file.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return True
    return head[8:12] == b"DUCK"


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


# ---- Files -------------------------------------------------------------------


def package_dir() -> Path:
    """Return the folder of the dbt package beside this Python package.

    In a checkout it is the folder above; in an installed wheel a folder within.

    Raises:
        UserError: This installation has no dbt project.
    """
    for folder in (_INSTALLED.parents[1], _INSTALLED):
        if _is_package(folder):
            return folder
    raise UserError(
        "This installation of churn has no dbt project: install it from a checkout "
        "with `pip install --editable .`."
    )


def _is_package(folder: Path) -> bool:
    path = folder / PROJECT_FILE
    return path.is_file() and _read_yaml(path).get("name") == PACKAGE_NAME


def _find_project_dir(given: Path | str | None, has_database: bool) -> Path:
    given = given or _dbt_environment("PROJECT_DIR")
    if given:
        folder = _absolute(given)
        if (folder / PROJECT_FILE).is_file():
            return folder
        raise UserError(
            f"There is no {PROJECT_FILE} in {folder}: name the folder of your dbt "
            "project, or write one with `churn init`."
        )
    current = Path.cwd()
    for folder in (current, *current.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    if has_database or "CHURN_DUCKDB_PATH" in os.environ:
        return package_dir()
    raise NoProjectError(
        f"There is no {PROJECT_FILE} in {current} or above: change to the folder of "
        "your dbt project, name it with --project-dir, or write one with `churn init`."
    )


def _find_profile(
    name: str, given: Path | str | None, project_dir: Path
) -> tuple[Path, Mapping[str, Any]]:
    """Return the path of ``profiles.yml`` and the profile in it."""
    folders = (
        [_absolute(given)] if given else [Path.cwd(), project_dir, Path.home() / ".dbt"]
    )
    paths = [folder / PROFILES_FILE for folder in dict.fromkeys(folders)]
    existing = [path for path in paths if path.is_file()]
    if not existing:
        raise UserError(
            f"There is no {PROFILES_FILE} in "
            f"{' or '.join(str(path.parent) for path in paths)}: name its folder with "
            "--profiles-dir."
        )
    for path in existing:
        profile = _read_yaml(path).get(name)
        if isinstance(profile, dict):
            return path, profile
    raise UserError(
        f"{existing[0]} has no profile `{name}`, which {project_dir / PROJECT_FILE} "
        "names: add it, or name another folder with --profiles-dir."
    )


def _pick_target(
    profile_name: str, profile: Mapping[str, Any], path: Path, target: str | None
) -> tuple[str, Mapping[str, Any]]:
    """Return the target's name and its rendered credentials."""
    where = f"the profile `{profile_name}` in {path}"
    target = target or _dbt_environment("TARGET")
    if target is None:
        target = str(_render(profile.get("target", "default"), where))
    outputs = profile.get("outputs")
    if not isinstance(outputs, dict):
        raise UserError(f"There are no `outputs` in {where}: add one.")
    if target not in outputs:
        names = ", ".join(f"`{name}`" for name in outputs)
        raise UserError(f"There is no target `{target}` in {where}: it has {names}.")
    credentials = _render(outputs[target], f"the target `{target}` of {where}")
    if not isinstance(credentials, dict) or "type" not in credentials:
        raise UserError(f"The target `{target}` of {where} has no `type`: add one.")
    return target, credentials


def _find_package_dir(project_dir: Path, settings: Mapping[str, Any]) -> Path:
    """Return the folder of the dbt package that a project uses."""
    if settings.get("name") == PACKAGE_NAME:
        return project_dir
    installed = str(settings.get("packages-install-path") or "dbt_packages")
    candidates = [project_dir / installed / PACKAGE_NAME]
    for file in ("packages.yml", "dependencies.yml"):
        if (project_dir / file).is_file():
            for package in _read_yaml(project_dir / file).get("packages") or []:
                if isinstance(package, dict) and isinstance(package.get("local"), str):
                    local = _render(package["local"], f"{project_dir / file}")
                    candidates.append((project_dir / str(local)).resolve())
    for candidate in candidates:
        if _is_package(candidate):
            return candidate
    return package_dir()


def _resolve_variables(settings: Mapping[str, Any], package: Path) -> Mapping[str, Any]:
    """Return the variables that the package's models see, without ``--vars``.

    Later ones override earlier ones: the package's own, then the project's, each
    first those for all packages, then those for this package. dbt does not render
    variables.
    """
    resolved: dict[str, Any] = {}
    own = _read_yaml(package / PROJECT_FILE).get("vars") or {}
    for variables in (own, settings.get("vars") or {}):
        specific = variables.get(PACKAGE_NAME)
        specific = specific if isinstance(specific, dict) else {}
        # The variables of another package are a dictionary with that package's name.
        resolved |= {k: v for k, v in variables.items() if k != PACKAGE_NAME}
        resolved |= specific
    return resolved


def _absolute(path: Path | str) -> Path:
    """Return an absolute path without ``..``, for messages; links are kept."""
    return Path(os.path.abspath(path))


def _dbt_environment(name: str) -> str | None:
    """Return an environment variable of dbt; its new prefix wins."""
    return os.environ.get(f"DBT_ENGINE_{name}") or os.environ.get(f"DBT_{name}")


@lru_cache(maxsize=64)
def _parse_yaml(path: Path, modified_ns: int, size: int) -> Any:  # noqa: ARG001
    # Only here, because Spark's executors import this module and have no YAML.
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_text(encoding="utf-8"), loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not UTF-8 text"
        raise UserError(f"{path}{line} is not YAML: {problem}.") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, empty for an empty file."""
    try:
        status = path.stat()
        content = _parse_yaml(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not YAML: not UTF-8 text.") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a YAML mapping: correct it.")
    return content


# ---- Templates ---------------------------------------------------------------


class _Native(str):
    """Text that a filter marked to become a value of another type."""


class _Number(_Native):
    """Text that the filter ``as_number`` marked."""


class _Bool(_Native):
    """Text that the filter ``as_bool`` marked."""


class _Text(str):
    """Text that the filter ``as_text`` marked."""


def _concat(nodes: Iterable[Any]) -> Any:
    """Join rendered nodes as dbt does: a single node keeps its type."""
    parts = list(nodes)
    if not parts:
        return ""
    if len(parts) > 1:
        return "".join(map(str, parts))
    (part,) = parts
    if not isinstance(part, _Native):
        return str(part) if isinstance(part, str) else part
    try:
        value = ast.literal_eval(part)
    except (ValueError, SyntaxError, MemoryError):
        value = str(part)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (isinstance(part, _Number) and not is_number) or (
        isinstance(part, _Bool) and not isinstance(value, bool)
    ):
        kind = "number" if isinstance(part, _Number) else "bool"
        raise ValueError(f"{str(part)!r} is not a {kind}")
    return value


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    # Import here, because most files have no template.
    from jinja2.nativetypes import NativeEnvironment, NativeTemplate
    from jinja2.sandbox import SandboxedEnvironment

    class Environment(NativeEnvironment, SandboxedEnvironment):
        concat = staticmethod(_concat)  # type: ignore[assignment]

    class Template(NativeTemplate):
        environment_class = Environment

    Environment.template_class = Template
    environment = Environment(extensions=["jinja2.ext.do"])
    environment.filters |= {
        "as_text": _Text,
        "as_bool": _Bool,
        "as_native": _Native,
        "as_number": _Number,
    }
    environment.globals = {"env_var": _env_var}
    return environment


def _env_var(name: str, default: str | None = None) -> str:
    value = os.environ.get(name, default)
    if value is None:
        raise ValueError(f"set the environment variable {name}")
    return value


def _render(value: Any, where: str) -> Any:
    """Render the templates in a value read from YAML, recursively.

    Args:
        value: A mapping, list or scalar.
        where: Where it is, for messages.

    Raises:
        UserError: A template cannot be rendered.
    """
    if isinstance(value, dict):
        return {key: _render(each, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_render(each, where) for each in value]
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str) or not re.search(r"\{[{%#]", value):
        return value
    import jinja2
    from jinja2 import meta

    try:
        environment = _environment()
        names = meta.find_undeclared_variables(environment.parse(value))
        if names - {"env_var"}:
            return _render_with_dbt(value)
        return environment.from_string(value).render()
    except jinja2.TemplateError as error:
        raise UserError(f"{where} cannot be rendered: {error}.") from error
    except ValueError as error:
        raise UserError(f"{where} cannot be rendered: {error}.") from error


def _render_with_dbt(value: str) -> Any:
    """Render a template that uses other functions of dbt."""
    from dbt.config.renderer import ProfileRenderer
    from dbt_common.context import set_invocation_context
    from dbt_common.exceptions import DbtBaseException

    set_invocation_context(os.environ)
    try:
        return ProfileRenderer({}).render_value(value)
    except DbtBaseException as error:
        raise ValueError(_first_line(str(error))) from error
