"""``python -m churn`` is the same as the console script ``churn``."""

from __future__ import annotations

import sys

from churn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
