"""How long to wait before trying again. The policy alone: no sleeping here."""

import random

from collections.abc import Iterator


def backoff(first: float = 0.5, limit: float = 30.0) -> Iterator[float]:
    """
    Yield growing waits in seconds, each drawn between half of a doubling ceiling and the ceiling.

    The lower half is left out so that a dead target is never hammered by an unlucky draw.
    """
    ceiling = first
    while True:
        yield random.uniform(ceiling / 2, ceiling)
        ceiling = min(limit, ceiling * 2)
