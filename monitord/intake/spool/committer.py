"""Group commit: what was appended meanwhile goes to disk together, one write and one sync."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

from monitord.errors import SpoolError
from monitord.intake.spool.journal import Journal, Written
from monitord.model import Frame


# What nobody waits for is on disk after this long at the latest.
LONGEST_DELAY_SECONDS = 0.2
# So much is not held back for the delay.
EAGER_BYTES = 1024 * 1024


def reason_of(error: Exception) -> str:
    """Return what went wrong with the disk: the system's words, else what was raised."""
    return (isinstance(error, OSError) and error.strerror) or repr(error)[:200]


class Entry(NamedTuple):
    """A frame, and the bytes of its record."""

    frame: Frame
    size: int


class Group:
    """Records that become durable together; `outcome` is None, or why they did not."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.parts: list[bytes] = []
        self.bytes = 0
        self.outcome: asyncio.Future[SpoolError | None] = asyncio.get_running_loop().create_future()


class Committer:
    """
    Commits one group at a time while the next gathers.

    `committed` hears of each group on disk, `failed` of those that are not: with one group that
    fails goes the one that gathered behind it, so that no later record vouches for an earlier.
    """

    def __init__(
        self,
        journal: Journal,
        thread: Executor,
        committed: Callable[[Sequence[Entry], Written], None],
        failed: Callable[[Sequence[Entry], Exception], None],
    ) -> None:
        self._journal = journal
        self._thread = thread
        self._committed = committed
        self._failed = failed
        self._wanted = asyncio.Event()
        self._gathering = Group()
        self._flying: Group | None = None
        self._closing = False
        self.bytes = 0
        self.events = 0
        self.ended = False

    def add(self, entry: Entry, parts: Sequence[bytes]) -> None:
        """Put a record in the group that gathers."""
        group = self._gathering
        if not group.entries:
            asyncio.get_running_loop().call_later(LONGEST_DELAY_SECONDS, self._wanted.set)
        group.entries.append(entry)
        group.parts.extend(parts)
        group.bytes += entry.size
        self.bytes += entry.size
        self.events += len(entry.frame.batch)
        if group.bytes >= EAGER_BYTES:
            self._wanted.set()

    async def settled(self) -> SpoolError | None:
        """Return when everything added before is on disk, or why some of it is not."""
        if self._gathering.entries:
            self._wanted.set()
        groups = [one for one in (self._flying, self._gathering) if one and one.entries]
        outcomes = [await asyncio.shield(one.outcome) for one in groups]
        return next((one for one in outcomes if one is not None), None)

    async def run(self) -> None:
        """Commit until closed, and what is there then."""
        try:
            while self._gathering.entries or not self._closing:
                await self._wanted.wait()
                self._wanted.clear()
                if self._gathering.entries:
                    await self._commit()
        finally:
            self.ended = True
            self._refuse(self._groups(), SpoolError("the spool was closed"))

    def close(self) -> None:
        """Let `run` end after what is there."""
        self._closing = True
        self._wanted.set()

    async def _commit(self) -> None:
        group = self._flying = self._gathering
        self._gathering = Group()
        loop = asyncio.get_running_loop()
        try:
            written = await loop.run_in_executor(
                self._thread, self._journal.append, group.parts, group.entries
            )
        except Exception as error:  # noqa: BLE001 - who waits is told, and the next commit is tried
            self._give_up(error)
        else:
            self._forget(group)
            self._committed(group.entries, written)
            group.outcome.set_result(None)
        if self._closing:
            self._wanted.set()
        self._flying = None

    def _give_up(self, error: Exception) -> None:
        groups = self._groups()
        self._gathering = Group()
        self._failed([entry for one in groups for entry in one.entries], error)
        self._refuse(groups, SpoolError(f"not on disk: {reason_of(error)}"))

    def _forget(self, group: Group) -> None:
        self.bytes -= group.bytes
        self.events -= sum(len(entry.frame.batch) for entry in group.entries)

    def _groups(self) -> list[Group]:
        return [one for one in (self._flying, self._gathering) if one is not None]

    def _refuse(self, groups: Sequence[Group], reason: SpoolError) -> None:
        for group in groups:
            self._forget(group)
            if not group.outcome.done():
                group.outcome.set_result(reason)
