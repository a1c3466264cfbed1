"""Requests as columns, as they lie in the archive and come out of it. No database here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy.typing import NDArray

from monitord.store.request_rows import Flags
from monitord.store.sums import Ints


@dataclass(frozen=True, slots=True)
class Requests:
    """
    Requests of one host, one array a column, as in the table `requests`.

    `at_us` is PostgreSQL's, `trace` 16 raw bytes a row. Without `has_trace` a row's trace is zeros,
    and where it has not `failed` its `error_id` is 0: both stand for null.
    """

    at_us: Ints
    duration_us: Ints
    status: Ints
    endpoint_id: Ints
    error_id: Ints
    failed: Flags
    trace: NDArray[np.void]
    has_trace: Flags

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, rows: Any) -> Requests:
        """Return some of the rows, by index or by flag."""
        return Requests(*(getattr(self, name)[rows] for name in self.__slots__))


def joined(parts: Sequence[Requests]) -> Requests:
    """Return the rows of all parts, in order; of none, no row."""
    names = Requests.__slots__
    whole = (NOTHING, *parts)
    return Requests(*(np.concatenate([getattr(part, name) for part in whole]) for name in names))


NOTHING = Requests(
    at_us=np.empty(0, np.int64),
    duration_us=np.empty(0, np.int64),
    status=np.empty(0, np.int64),
    endpoint_id=np.empty(0, np.int64),
    error_id=np.empty(0, np.int64),
    failed=np.empty(0, np.bool_),
    trace=np.empty(0, "V16"),
    has_trace=np.empty(0, np.bool_),
)
