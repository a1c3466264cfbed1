"""What the host scraper is made of: questions that read files and keep their last counters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from monitord.model import Metric


class Question(Protocol):
    """
    One question to the machine. Called in a worker thread, never twice at once.

    It reads what the kernel answers at once (/proc, /sys); what may block is asked elsewhere.
    """

    what: str

    def read(self, at: float) -> Iterable[Metric]:
        """Return the numbers; `at` is in monotonic seconds. Raises OSError and what psutil does."""
        ...
