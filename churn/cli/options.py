"""Options that commands share, before or after the command's name."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from churn.config import Project

F = TypeVar("F", bound=Callable[..., Any])


def _store(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Store an option for `load_project`; the one after the command's name wins."""
    if value:
        ctx.ensure_object(dict)[parameter.name] = value


def _shared(*names: str, **settings: Any) -> Callable[[F], F]:
    return click.option(*names, expose_value=False, callback=_store, **settings)


def debug_option(function: F) -> F:
    """Add ``--debug``."""
    return _shared("--debug", is_flag=True, help="Show the traceback of an error.")(
        function
    )


def shared_options(function: F) -> F:
    """Add the options that name the project, its profile and its database."""
    for option in (
        debug_option,
        _shared(
            "--database",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="DuckDB file. Default: that of the profile.",
        ),
        _shared(
            "--target",
            metavar="NAME",
            help="Target of the profile. Default: DBT_TARGET, else the profile's.",
        ),
        _shared(
            "--profiles-dir",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Folder of profiles.yml. Default: DBT_PROFILES_DIR, else the current "
            "folder, the project's folder, or ~/.dbt.",
        ),
        _shared(
            "--project-dir",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="DIR",
            help="Folder of dbt_project.yml. Default: DBT_PROJECT_DIR, else the "
            "current folder or the nearest one above it.",
        ),
    ):
        function = option(function)
    return function


def demo_size_options(function: F) -> F:
    """Add the options that set the size and the seed of a demo company."""
    for name, first, last, default, text in reversed(
        (
            ("--accounts", 1, 2_000_000, 1_000, "Customer companies."),
            ("--days", 1, 3_650, 365, "Days to simulate."),
            ("--seed", 0, 2**31 - 1, 7, "Seed of every random draw."),
        )
    ):
        function = click.option(
            name,
            type=click.IntRange(first, last),
            default=default,
            show_default=True,
            metavar="NUMBER",
            help=text,
        )(function)
    return function


def load_project(ctx: click.Context) -> Project:
    """Return the project that the shared options name.

    Raises:
        UserError: There is no such project.
    """
    from churn.config import Project

    names = ("project_dir", "profiles_dir", "target", "database")
    given = ctx.ensure_object(dict)
    return Project.load(**{name: given.get(name) for name in names})


def load_demo_project(ctx: click.Context) -> Project:
    """Return the package's own project, unless the options or the folder name one.

    Raises:
        UserError: This installation has no dbt project.
    """
    from churn.config import NoProjectError, package_dir

    try:
        return load_project(ctx)
    except NoProjectError:
        ctx.ensure_object(dict)["project_dir"] = package_dir()
        return load_project(ctx)


def project_command(function: F) -> F:
    """Add the shared options; pass the `Project` as the first argument."""

    @shared_options
    @click.pass_context
    @functools.wraps(function)
    def with_project(ctx: click.Context, *args: Any, **kwargs: Any) -> Any:
        return function(load_project(ctx), *args, **kwargs)

    return with_project  # type: ignore[return-value]


class Day(click.ParamType):  # type: ignore[type-arg]
    """A date such as 2025-03-01."""

    name = "day"

    def __init__(self, first: date = date.min, last: date = date.max) -> None:
        self.first, self.last = first, last

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Parse a date, or fail with one sentence."""
        if isinstance(value, date):
            return value
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
        if day is None or not self.first <= day <= self.last:
            limits = (
                ""
                if (self.first, self.last) == (date.min, date.max)
                else f" from {self.first} to {self.last}"
            )
            self.fail(f"{value!r} is not a day such as 2025-03-01{limits}.", param, ctx)
        return day


class Variables(click.ParamType):  # type: ignore[type-arg]
    """A JSON object of dbt variables."""

    name = "variables"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Parse a JSON object, or fail with one sentence."""
        try:
            variables = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            variables = None
        if not isinstance(variables, dict):
            self.fail(f"{value!r} is not a JSON object.", param, ctx)
        return variables
