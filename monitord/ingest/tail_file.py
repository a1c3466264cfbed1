"""One followed file: what was added since the last look, through rotation and truncation."""

from __future__ import annotations

import hashlib
import os
import stat

from itertools import pairwise
from pathlib import Path

import structlog

from msgspec import Struct
from msgspec.structs import replace

from monitord.ingest.limits import MESSAGE_BYTES
from monitord.ingest.multiline import starts
from monitord.ingest.tail_state import Position, begun


HEAD_BYTES = 256
# A line that fills this is cut.
READ_BYTES = MESSAGE_BYTES + 64 * 1024
# A last line without its end is taken after so long; a record that may go on, much sooner.
PARTIAL_SECONDS = 5.0
QUIET_SECONDS = 0.2
# A file that was renamed may be written to until its writer opens the new one.
ROTATED_SECONDS = 1.0
# Files that wait for their turn, each of which took the place of the one before.
NEXT_FILES = 8
# Files of the folder looked at for one that was renamed while nobody looked.
SIBLINGS = 1_000

log = structlog.get_logger()


class Piece(Struct, frozen=True):
    """
    Records of a file: the bytes from `start` to `end`, cut into `texts`.

    `name` is that of the range: the same inode, epoch and bytes have the same one. `cut` says that
    a line goes on after the end, and that the rest of it is let go.
    """

    name: str
    start: int
    end: int
    texts: list[bytes]
    cut: bool


class TailFile:
    """Reads one path; `position` moves on only when `taken` says that a piece is safe."""

    def __init__(self, path: Path, position: Position | None) -> None:
        self.path = path
        self.position = position or Position()
        self._fresh = position is None
        self._fd = -1
        self._next: list[int] = []
        self._seen = (-1, -1)
        self._changed_at = 0.0
        self._skipping = False
        self._warned = False

    def close(self) -> None:
        """Let go of the file, and of those that have taken its place."""
        for fd in [self._fd, *self._next]:
            if fd >= 0:
                os.close(fd)
        self._next.clear()
        self._begin(-1)

    def _begin(self, fd: int) -> None:
        self._fd = fd
        self._seen = (-1, -1)
        self._skipping = False

    def look(self, now: float) -> Piece | None:
        """Return what was added, None without whole records; `now` is of a steady clock."""
        try:
            piece = self._look(now)
        except OSError as error:
            self.close()
            self._warn(error.strerror or str(error))
            return None
        self._fresh = False
        return piece

    def taken(self, piece: Piece) -> None:
        """The piece is safe: go on after it."""
        self.position = replace(self.position, offset=piece.end, pending=0)
        self._skipping = piece.cut

    def _look(self, now: float) -> Piece | None:
        if self._fd < 0 and not self._open(now):
            return None
        self._find_next()
        self._check(now)
        piece = self._piece(now - self._changed_at)
        if piece is None and self._next and now - self._changed_at >= ROTATED_SECONDS:
            if piece := self._piece(PARTIAL_SECONDS):
                return piece
            os.close(self._fd)
            self._begin(self._next.pop(0))
            self.position = begun(self._inode())
        return piece

    def _find_next(self) -> None:
        """Open another file that is at the path now: it may be renamed before its turn comes."""
        newest = self._next[-1] if self._next else self._fd
        try:
            if (
                os.stat(self.path).st_ino == os.fstat(newest).st_ino
                or len(self._next) >= NEXT_FILES
            ):
                return
            self._next.append(_opened(self.path))
        except FileNotFoundError:
            return

    def _open(self, now: float) -> bool:
        """Open the file that was being read, wherever it is now, or else the one at the path."""
        known = self.position
        try:
            self._begin(_opened(self.path))
        except FileNotFoundError:
            self._warned = False
            if not known.inode or not self._open_renamed(known):
                return False
        if self._fresh:
            end = os.fstat(self._fd).st_size
            self.position = self._headed(begun(self._inode(), end))
        elif known.inode and not self._is_same(known):
            self.close()
            if not self._open_renamed(known):
                log.info("tail.file_gone", path=str(self.path))
                self._begin(_opened(self.path))
                self.position = begun(self._inode())
        elif not known.inode:
            self.position = begun(self._inode())
        self._changed_at = now
        self._warned = False
        return True

    def _open_renamed(self, known: Position) -> bool:
        """Open the file of the known inode, if it is in the same folder under a longer name."""
        with os.scandir(self.path.parent) as entries:
            for _, entry in zip(range(SIBLINGS), entries, strict=False):
                if entry.inode() == known.inode and entry.name.startswith(self.path.name):
                    self._begin(_opened(Path(entry.path)))
                    if self._is_same(known):
                        return True
                    self.close()
        return False

    def _inode(self) -> int:
        return os.fstat(self._fd).st_ino

    def _is_same(self, known: Position) -> bool:
        """Say whether the open file is the known one, and has not been begun anew."""
        status = os.fstat(self._fd)
        return (
            status.st_ino == known.inode
            and status.st_size >= known.offset
            and _digest(os.pread(self._fd, known.head_bytes, 0)) == (known.head or _digest(b""))
        )

    def _headed(self, position: Position) -> Position:
        """Return the position with as much of the file's beginning as there is."""
        head = os.pread(self._fd, HEAD_BYTES, 0)
        return replace(position, head=_digest(head), head_bytes=len(head))

    def _check(self, now: float) -> None:
        """Note when the file was last written to, and whether it was begun anew."""
        status = os.fstat(self._fd)
        seen = (status.st_size, status.st_mtime_ns)
        if seen == self._seen:
            return
        self._seen, self._changed_at = seen, now
        if not self._is_same(self.position):
            log.info("tail.file_truncated", path=str(self.path))
            self.position = begun(self._inode())
            self._skipping = False
        if self.position.head_bytes < HEAD_BYTES:
            self.position = self._headed(self.position)

    def _piece(self, quiet_seconds: float) -> Piece | None:
        position = self.position
        if position.pending > position.offset:
            return self._again(position)
        data = os.pread(self._fd, READ_BYTES, position.offset)
        end = _end_of_records(data, quiet_seconds)
        return self._cut(data[:end], position) if end else None

    def _again(self, position: Position) -> Piece:
        """Return the piece that was being delivered when the last run ended."""
        size = min(position.pending - position.offset, READ_BYTES)
        data = os.pread(self._fd, size, position.offset)
        return self._cut(data, position)

    def _cut(self, data: bytes, position: Position) -> Piece:
        lines = data.split(b"\n")
        if self._skipping:  # the rest of a line that was cut
            lines = lines[1:]
        cut = len(data) >= READ_BYTES and len(lines) <= 1
        if lines and not lines[-1]:
            lines.pop()
        places = [*starts(lines), len(lines)]
        texts = [b"\n".join(lines[a:b]) for a, b in pairwise(places)]
        texts = [text for text in texts if text.strip()]
        start, end = position.offset, position.offset + len(data)
        name = f"{self._inode()} {position.epoch} {start}-{end} {_digest(data)}"
        return Piece(name, start, end, texts, cut)

    def _warn(self, why: str) -> None:
        if not self._warned:
            log.warning("tail.unreadable", path=str(self.path), error=why)
        self._warned = True


def _opened(path: Path) -> int:
    # A pipe without a writer would otherwise hold everything up.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(0, "expected a regular file")
    return fd


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _end_of_records(data: bytes, quiet_seconds: float) -> int:
    """
    Return how many bytes are whole records.

    The last record may go on, until nothing more has come for a moment; so may its last line.
    """
    full = len(data) >= READ_BYTES
    if quiet_seconds >= PARTIAL_SECONDS and not full:
        return len(data)
    end = data.rfind(b"\n") + 1
    if quiet_seconds >= QUIET_SECONDS and end and not full:
        return end
    lines = data[:end].split(b"\n")[:-1]
    if len(lines) > 1 and (last := starts(lines)[-1]):
        return sum(len(line) + 1 for line in lines[:last])
    return (end or len(data)) if full else 0
