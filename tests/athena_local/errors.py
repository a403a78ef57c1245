"""What Athena answers when it refuses something."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AthenaError(Exception):
    """A statement that failed, in the words and numbers of Athena.

    Attributes:
        message: ``StateChangeReason``, which begins with the name of the error.
        category: 1 for the system's fault, 2 for the user's.
        kind: ``ErrorType``; dbt-athena repeats statements that failed with 233,
            an Iceberg commit that another one overtook.
    """

    message: str
    category: int = 2
    kind: int = 1

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(Exception):
    """A request that Athena refuses before any statement is started."""


def of_trino(name: str, kind: str, message: str) -> AthenaError:
    """The error of Athena that stands for one of Trino.

    Args:
        name: Trino's name of it, such as ``COLUMN_NOT_FOUND``.
        kind: ``USER_ERROR``, ``INTERNAL_ERROR``, ``EXTERNAL`` or
            ``INSUFFICIENT_RESOURCES``.
        message: Trino's message.
    """
    return AthenaError(
        f"{name}: {message}",
        category=2 if kind == "USER_ERROR" else 1,
        kind=233 if name.startswith("ICEBERG_") else 1,
    )
