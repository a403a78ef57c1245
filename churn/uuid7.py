"""UUIDs of version 7, which begin with a time."""

from __future__ import annotations

import uuid

RANDOM_BITS = 74


def uuid7(milliseconds: int, random_bits: int) -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7).

    Args:
        milliseconds: Since 1970; the low 48 bits count.
        random_bits: The low `RANDOM_BITS` bits count.
    """
    value = (milliseconds & ((1 << 48) - 1)) << 80
    value |= 0x7 << 76 | ((random_bits >> 62) & 0xFFF) << 64
    value |= 0b10 << 62 | (random_bits & ((1 << 62) - 1))
    return str(uuid.UUID(int=value))
