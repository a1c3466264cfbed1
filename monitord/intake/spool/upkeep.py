"""The folder's upkeep: the cursor written, finished segments removed, the disk looked at."""

from __future__ import annotations

import asyncio

from concurrent.futures import Executor

import structlog

from monitord.intake.spool import cursor as cursors
from monitord.intake.spool.catalogue import Catalogue
from monitord.intake.spool.committer import reason_of
from monitord.intake.spool.folder import Folder
from monitord.intake.spool.journal import Journal


log = structlog.get_logger(__name__)

# How often the disk is looked at, the cursor written and finished segments removed.
LOOK_EVERY_SECONDS = 1.0


class Upkeep:
    """
    Knows how much room there is; it decides nothing about who gets it.

    `trouble` is why the disk takes nothing now, empty when it does. `was_full`: something was
    refused for the spool's size since a segment was removed.
    """

    def __init__(
        self,
        folder: Folder,
        journal: Journal,
        catalogue: Catalogue,
        thread: Executor,
        segment_bytes: int,
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._catalogue = catalogue
        self._thread = thread
        self._segment_bytes = segment_bytes
        self._cursor = b""
        self.trouble = ""
        self.was_full = False
        self.free_bytes = folder.free_bytes()
        self.disk_bytes = catalogue.bytes

    def written(self, size_bytes: int) -> None:
        """Take note of bytes that were written since the disk was looked at."""
        self.free_bytes -= size_bytes
        self.disk_bytes = self._catalogue.bytes

    async def run(self) -> None:
        """Look after the folder until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Write the cursor, remove what is finished, and look at the disk."""
        loop = asyncio.get_running_loop()
        try:
            await self._write_cursor()
            await self._remove_finished()
            self.free_bytes = await loop.run_in_executor(self._thread, self._folder.free_bytes)
            if self.trouble:
                await loop.run_in_executor(self._thread, self._journal.probe)
                log.info("spool.writes_again", after=self.trouble)
                self.trouble = ""
        except Exception as error:  # noqa: BLE001 - the folder is looked after again
            if not self.trouble:
                log.warning("spool.folder_trouble", error=reason_of(error))

    async def _write_cursor(self) -> None:
        writer, catalogue = self._journal.writer, self._catalogue
        writers = catalogue.writers() | {writer}
        data = cursors.pack(cursors.cursor_of(writer, catalogue.done, writers))
        if data == self._cursor:
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._folder.replace, cursors.NAME, data)
            self._cursor = data
        except OSError as error:
            # What is finished is removed all the same: that may be the room it lacks.
            log.warning("spool.cursor_not_written", error=error.strerror)

    async def _remove_finished(self) -> None:
        catalogue = self._catalogue
        active = self._journal.active
        worth = self.was_full or self._size_of(active) * 4 >= self._segment_bytes
        seal = worth and catalogue.is_finished(active)
        finished = catalogue.finished(besides="" if seal else active)
        if finished:
            loop = asyncio.get_running_loop()
            ends = {one.name: one.end for one in finished}
            gone = await loop.run_in_executor(self._thread, self._removed, ends)
            catalogue.forget([one for one in finished if one.name in gone])
            self.disk_bytes = catalogue.bytes
            self.was_full = self.was_full and not gone

    def _removed(self, ends: dict[str, int]) -> set[str]:
        """Remove segments; return the names of those that are gone."""
        gone = set()
        for name, end in ends.items():
            if name == self._journal.active:
                # One that a commit made longer meanwhile is not finished any more.
                if self._journal.size > end:
                    continue
                self._journal.leave()
            self._folder.remove(name)
            gone.add(name)
        return gone

    def _size_of(self, name: str) -> int:
        found = (one.size for one in self._catalogue.segments if one.name == name)
        return next(found, 0)
