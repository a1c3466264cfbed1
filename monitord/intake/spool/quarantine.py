"""Where damaged bytes go: a file each, named by where they were, bounded together in size."""

from __future__ import annotations

import os

import structlog

from monitord.intake.spool.folder import QUARANTINED, Folder, read_all, write_all


log = structlog.get_logger(__name__)

COPIED_AT_ONCE_BYTES = 1024 * 1024
LIMIT_FILES = 1_000


class Quarantine:
    """
    Keeps damaged stretches of segments for people to look at; the oldest make room.

    A stretch has one name, so it is kept and counted once however often it is met. What cannot be
    kept is still counted: damage never stops anything.
    """

    def __init__(self, folder: Folder, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._sizes = {name: folder.size_of(name) for name in folder.names(QUARANTINED)}
        self.records = 0
        self.bytes = 0

    def keep(self, segment: str, descriptor: int, at: int, end: int) -> None:
        """Copy a stretch of a segment that is open."""
        name = f"{segment.partition('.')[0]}-{at:012}-{end - at:012}{QUARANTINED}"
        if name in self._sizes:
            return
        self.records += 1
        self.bytes += end - at
        size = min(end - at, self._limit_bytes)
        try:
            self._make_room(size)
            self._copy(name, descriptor, at, size)
        except OSError as error:
            size = 0
            log.warning("spool.damage_not_kept", segment=segment, at=at, error=error.strerror)
        self._sizes[name] = size
        log.warning("spool.damage", segment=segment, at=at, bytes=end - at, kept=name)

    def _make_room(self, size: int) -> None:
        kept = sorted(name for name, held in self._sizes.items() if held)
        held = sum(self._sizes.values())
        for index, name in enumerate(kept):
            if held + size <= self._limit_bytes and len(kept) - index < LIMIT_FILES:
                return
            self._folder.remove(name)
            log.warning("spool.quarantine_full", removed=name, bytes=self._sizes[name])
            held -= self._sizes[name]
            self._sizes[name] = 0

    def _copy(self, name: str, source: int, at: int, size: int) -> None:
        self._folder.remove(name)
        target = self._folder.create(name)
        try:
            for done in range(0, size, COPIED_AT_ONCE_BYTES):
                piece = read_all(source, at + done, min(COPIED_AT_ONCE_BYTES, size - done))
                write_all(target, piece)
            os.fsync(target)
        except OSError:
            self._folder.remove(name)
            raise
        finally:
            os.close(target)
