"""The buffer, and the thread that empties it: started late, renewed in a fork, ended at exit."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import sys
import threading
import time
import weakref

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace

from monitord.emit.address import Target
from monitord.emit.encode import Event
from monitord.emit.sender import BUFFER_FULL, MARK, Asked, Sender


EXIT_S = 1.0
# After the system refused a thread.
RESTART_AFTER_S = 5.0

# A worker forked later than this after the start, in place of another, is no deploy.
SETTLED_S = 3_600.0

INTERNAL = "internal"


class Pump:
    """
    Holds events until its daemon thread has sent them.

    Who records appends to `buffer` while it is shorter than `room`, and calls `hold` otherwise;
    neither locks. A `room` of 0 sends every event through `hold`: nothing has started, or all is
    over.
    """

    buffer: deque[Event]
    room: int
    lost: Counter[str]
    _closed: bool
    _deadline: float
    _drop: Callable[[], int]
    _drops_seen: int
    _told: Counter[str]
    _thread: threading.Thread | None
    _sender: Sender | None
    _start_at: float
    _starting: threading.Lock
    _wake: threading.Event

    def __init__(
        self, target: Target, limit: int, flush_every_s: float, report_every_s: float
    ) -> None:
        self._target = target
        self._limit = limit
        self._flush_every_s = flush_every_s
        self._report_every_s = report_every_s
        self._begin()
        _watch_forks()
        _pumps.add(self)

    def _begin(self) -> None:
        """Have nothing: at construction, and in a forked child."""
        self.buffer = deque()
        self.room = 0
        self.lost = Counter()
        self._told = Counter()
        self._closed = False
        self._deadline = 0.0
        # Counted by a C call, which is atomic without a lock; `_turn` reads it by calling it.
        self._drop = itertools.count().__next__
        self._drops_seen = 0
        self._thread = None
        self._sender = None
        self._start_at = 0.0
        self._starting = threading.Lock()
        self._wake = threading.Event()

    @property
    def taking(self) -> bool:
        """Whether what is put has anywhere to go."""
        return not self._closed and self._target.address is not None

    def put(self, event: Event) -> None:
        if len(self.buffer) < self.room:
            self.buffer.append(event)
        else:
            self.hold(event)

    def hold(self, event: Event) -> None:
        """Take an event that found no room: the first one starts the thread, others are lost."""
        if self.room == 0:
            if self._closed or self._target.address is None:
                return
            self._start()
        if len(self.buffer) < self._limit:
            self.buffer.append(event)
        else:
            self._drop()

    def aim(self, target: Target) -> None:
        """Send to another target from now on, what is waiting included."""
        self._target = target
        self.room = 0

    def flush(self, timeout_s: float, once: bool = False) -> bool:
        """
        Wait until all that was recorded before is handed over; say if it was.

        With `once` a single attempt is waited for.
        """
        if self._thread is None or self._closed:
            return not self.buffer
        asked = Asked(once, time.monotonic() + timeout_s)
        self.buffer.append((MARK, asked))
        self._wake.set()
        return asked.told.wait(timeout_s) and asked.sent

    def close(self, timeout_s: float = EXIT_S) -> None:
        """Send what waits, for at most `timeout_s`, and take nothing more."""
        self._deadline = time.monotonic() + timeout_s
        self._closed = True
        self.room = 0
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        atexit.unregister(self.close)

    def _start(self) -> None:
        # Not blocking: a signal handler may record while the code it interrupted is in here.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and time.monotonic() >= self._start_at:
                thread = threading.Thread(target=self._run, name="monitord-emit", daemon=True)
                thread.start()
                self._thread = thread
                self._end_with_the_process()
            if self._thread is not None:
                self.room = self._limit
        except RuntimeError:
            # No thread to be had: out of them, or the interpreter is ending.
            self._start_at = time.monotonic() + RESTART_AFTER_S
        finally:
            self._starting.release()

    def _end_with_the_process(self) -> None:
        atexit.unregister(self.close)
        atexit.register(self.close)
        # A forked multiprocessing worker ends without atexit; this is what it calls instead.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, self.close, exitpriority=10)

    def _run(self) -> None:
        # It waits first, so that the request that started it goes on at once.
        sender: Sender | None = None
        while not self._closed:
            self._wake.wait(self._flush_every_s)
            self._wake.clear()
            sender = self._current(sender)
            self._turn(sender)
        self._count_drops()
        self._finish(self._current(sender), self.buffer, self._deadline)

    def _turn(self, sender: Sender | None) -> None:
        self._count_drops()
        if sender is None:
            self.buffer.clear()
            return
        try:
            sender.turn(self.buffer, time.monotonic())
        except Exception:  # noqa: BLE001 - whatever happened, later events must still be sent
            self.lost[INTERNAL] += 1

    def _finish(self, sender: Sender | None, buffer: deque[Event], deadline: float) -> None:
        if sender is None:
            return
        try:
            sender.finish(buffer, deadline)
        except Exception:  # noqa: BLE001 - nothing of this may show in the application's output
            self.lost[INTERNAL] += 1

    def _count_drops(self) -> None:
        seen = self._drop()
        self.lost[BUFFER_FULL] += seen - self._drops_seen
        self._drops_seen = seen + 1  # asking was one call of the counter too

    def _current(self, sender: Sender | None) -> Sender | None:
        """Return the sender to the present target, a new one if it changed; None when `off`."""
        target = self._target
        if sender is not None and sender.target is target:
            return sender
        self._finish(sender, deque(), time.monotonic() + EXIT_S)
        self._sender = (
            Sender(target, target.address, self.lost, self._told, self._report_every_s)
            if target.address is not None
            else None
        )
        return self._sender

    def forked(self) -> None:
        """In the child: the sockets are the parent's; the thread and the events stayed there."""
        if self._sender is not None:
            _left.append(self._sender)
        if time.time() - self._target.since > SETTLED_S:
            self._target = replace(self._target, version=None)
        self._begin()


_pumps: weakref.WeakSet[Pump] = weakref.WeakSet()

# The senders of a process this one was forked from. Their thread may have been in the middle of a
# read, and holds its lock for ever here: who closes them, or lets go of them, would wait for it.
_left: list[Sender] = []


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for pump in list(_pumps):
        pump.forked()
