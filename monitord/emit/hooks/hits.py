"""Hits and misses of a cache by type of key, added up here and told as counters once a second."""

from __future__ import annotations

import atexit
import functools
import os
import threading
import weakref

from time import monotonic

from monitord.emit.emitter import Emitter


TELL_EVERY_S = 1.0

HITS, MISSES = "cache.hits", "cache.misses"


class Hits:
    """
    Counts for one emitter, whether or not a trace is being recorded.

    The first call tells of itself, the next one after a second of those between, and the end of
    the process of the last. A forked child counts its own.
    """

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter
        self.begin()
        _watch_forks()
        _all.add(self)

    def begin(self) -> None:
        """Have counted nothing: at construction, and in a forked child."""
        self._counts: dict[str, list[int]] = {}
        # A signal handler may look something up while the code it interrupted is in here.
        self._lock = threading.RLock()
        self._tell_at = 0.0

    def add(self, kind: str, hits: int, misses: int) -> None:
        with self._lock:
            counts = self._counts.get(kind)
            if counts is None:
                self._counts[kind] = [hits, misses]
            else:
                counts[0] += hits
                counts[1] += misses
        now = monotonic()
        if now >= self._tell_at:
            first, self._tell_at = not self._tell_at, now + TELL_EVERY_S
            self.tell()
            if first:  # after the emitter, which has started now, and so at exit before it
                atexit.unregister(self.tell)
                atexit.register(self.tell)

    def tell(self) -> None:
        with self._lock:
            told, self._counts = self._counts, {}
        for kind, counts in told.items():
            for name, count in zip((HITS, MISSES), counts, strict=True):
                if count:
                    self._emitter.count(name, count, {"type": kind})

    def stop(self) -> None:
        """Tell of what is left, and hold on to nothing."""
        atexit.unregister(self.tell)
        self.tell()


def tell_all() -> None:
    """Tell of everything counted: for a process that ends without the interpreter's own end."""
    for hits in list(_all):
        hits.tell()


_all: weakref.WeakSet[Hits] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for hits in list(_all):
        hits.begin()
