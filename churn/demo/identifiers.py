"""Generate unique identifiers that look random, without a table.

Each is a bijection of a running number, so that independent processes never generate
the same identifier twice.
"""

from __future__ import annotations

import numpy as np


def event_ids(day: int, count: int, salt: int) -> list[str]:
    """Return identifiers of one day's events: 16 hexadecimal digits each."""
    numbers = np.arange(count, dtype=np.uint64) + np.uint64(day << 32)
    return [f"{number:016x}" for number in _mix64(numbers, salt).tolist()]


def anonymous_ids(devices: np.ndarray, salt: int) -> list[str]:
    """Return the trackers' identifiers of devices: 12 hexadecimal digits each."""
    mask = np.uint64((1 << 48) - 1)
    with np.errstate(over="ignore"):
        mixed = devices.astype(np.uint64) + np.uint64(salt % 9973)
        mixed = (mixed * np.uint64(0x5851F42D4C95)) & mask
        mixed ^= mixed >> np.uint64(23)
        mixed = (mixed * np.uint64(0x9E3779B97F4B)) & mask
        mixed ^= mixed >> np.uint64(25)
    return [f"{number:012x}" for number in mixed.tolist()]


def user_ids(users: np.ndarray) -> list[str]:
    """Return identifiers of logged-in users, the same in app and CRM."""
    mixed = _mix32(users)
    return [f"u-{number:08x}" for number in mixed.tolist()]


def account_ids(accounts: np.ndarray) -> list[str]:
    """Return Salesforce identifiers of companies: 15 characters."""
    mixed = _mix32(accounts + 0x1F123BB5)
    return [f"0015g{number:010d}" for number in mixed.tolist()]


def _mix32(numbers: np.ndarray) -> np.ndarray:
    mask = np.uint64((1 << 32) - 1)
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(0x3C6EF372)
        mixed = (mixed * np.uint64(0x9E3779B1)) & mask
        mixed ^= mixed >> np.uint64(15)
        mixed = (mixed * np.uint64(0x85EBCA77)) & mask
        mixed ^= mixed >> np.uint64(13)
    return mixed


def _mix64(numbers: np.ndarray, salt: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        mixed = numbers + np.uint64((salt * 0x9E3779B97F4A7C15) % (1 << 64))
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
