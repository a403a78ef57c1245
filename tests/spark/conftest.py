"""What tests of all engines share, for the tests of this folder.

These tests are not part of `make test`, which builds everything with Spark once:
they take as long again. `make test-spark` runs them.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "python"))
