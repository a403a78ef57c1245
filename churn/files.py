"""Replace files completely or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of ``path`` when the block ends.

    Readers see the old file or the complete new one. If the block raises, the old one
    stays. A killed process leaves ``.NAME.*.part``. Only the owner may read the file,
    unless the block changes its mode.
    """
    number, name = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
    temporary = Path(name)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
