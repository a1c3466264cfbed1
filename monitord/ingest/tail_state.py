"""How far each file was read, kept over restarts: one JSON file, written whole or not at all."""

from __future__ import annotations

import os
import secrets

from pathlib import Path

import msgspec
import structlog

from msgspec import Struct


log = structlog.get_logger()


class Position(Struct, frozen=True, omit_defaults=True):
    """
    How far a file was read.

    `head` is what it began with, in its `head_bytes` first bytes, as a digest: an inode's number
    is used again. Up to `pending` was being delivered: the same range comes again, under the same
    key. `epoch` is drawn whenever a file is begun: after a truncation the same range is another
    one. Without an inode there was no file yet.
    """

    inode: int = 0
    offset: int = 0
    head: str = ""
    head_bytes: int = 0
    pending: int = 0
    epoch: str = ""


def begun(inode: int, offset: int = 0) -> Position:
    """Return where a file is read from that was not read before, or that was begun anew."""
    return Position(inode, offset, epoch=secrets.token_hex(8))


class TailState:
    """The positions by service and path. A file that cannot be read or written is said once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        self._saved: dict[str, Position] = {}
        self.positions: dict[str, Position] = {}

    def load(self) -> None:
        """Read what was kept; nothing where nothing was, or where it cannot be used."""
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(error)
            return
        try:
            self.positions = msgspec.json.decode(raw, type=dict[str, Position])
        except msgspec.MsgspecError as error:
            self._warn(error)

    def save(self) -> None:
        """Write the positions if they have changed."""
        if self.positions == self._saved:
            return
        draft = self._path.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(msgspec.json.encode(self.positions))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            self._warn(error)
            return
        self._failed = False
        self._saved = dict(self.positions)

    def _warn(self, error: Exception) -> None:
        if not self._failed:
            log.warning("tail.state_failed", path=str(self._path), error=str(error))
        self._failed = True
