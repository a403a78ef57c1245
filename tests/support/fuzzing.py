"""Random input with Hypothesis: how many inputs a test gets, and what each may cost.

``make test`` draws a few hundred inputs. ``make fuzz`` sets ``CHURN_FUZZ_INPUTS``, a
million by default, and limits the CPU time and the memory of each input, on Linux.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

INPUTS = int(os.environ.get("CHURN_FUZZ_INPUTS", "0"))
CPU_SECONDS = 2
MEMORY_BYTES = 4 << 30
# Inputs of each kind for a million in all; `make test` has one in 2,000 of them.
SHARES = {
    **{"records": 567_000, "files": 120_000, "tables": 20_000, "texts": 120_000},
    **{
        "requests": 100_000,
        "bytes": 40_000,
        "variables": 10_000,
        "environment": 3_000,
    },
    **{"seeds": 10_000, "seed_files": 10_000},
}
# Hypothesis takes longer to draw an input than the code takes to read it, so a long run
# also reads damaged copies of each.
VARIANTS = 20 if INPUTS else 1

seeds = st.integers(0, 2**32 - 1)
Content = TypeVar("Content", str, bytes)


def inputs(kind: str, variants: int = VARIANTS) -> Callable[[Any], Any]:
    """Return the settings of a test that reads its share of the inputs.

    Args:
        kind: A key of `SHARES`.
        variants: Inputs that the test makes of one that Hypothesis draws.
    """
    share = SHARES[kind] * INPUTS // 1_000_000 if INPUTS else SHARES[kind] // 2_000 + 10
    return settings(
        max_examples=max(1, share // variants),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Fail in a long run if the body takes more CPU time or memory than an input may.

    Memory is what the process gets beyond what it has, because Arrow keeps a megabyte
    of addresses for each damaged zstd file.
    """
    if not INPUTS:
        yield
        return
    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    started = time.process_time()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert time.process_time() - started < CPU_SECONDS


def variants(content: Content, seed: int, scraps: Sequence[Content]) -> list[Content]:
    """Return a content and, in a long run, copies with one to four changes each.

    Args:
        content: The content that Hypothesis drew.
        seed: The seed of the changes.
        scraps: What a change can insert.
    """
    draw = random.Random(seed)
    copies = [content]
    for _ in range(VARIANTS - 1):
        copy = content
        for _ in range(draw.randint(1, 4)):
            start = draw.randint(0, len(copy))
            end = min(len(copy), start + draw.choice([0, 0, 1, 2, 30]))
            # Inserted: a scrap, another part of the same content, or nothing.
            other = draw.randint(0, len(copy))
            inserted = draw.choice([draw.choice(scraps), copy[other : other + 20]])
            copy = copy[:start] + inserted + copy[end:]
        copies.append(copy)
    return copies
