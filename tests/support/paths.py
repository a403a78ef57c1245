"""Folders that tests read."""

from __future__ import annotations

from pathlib import Path

# The repository.
ROOT = Path(__file__).resolve().parents[2]
