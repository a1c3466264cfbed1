"""
Log files, followed line by line: bytes in, batches out, and how far each was read.

A file is its own buffer: it is read on only when what was read is safe. What is being delivered
is noted before, so that a crash brings back the same range under the same key, and the store
leaves out what it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time

from collections.abc import Callable
from pathlib import Path

import structlog

from msgspec.structs import replace

from monitord.errors import NotTaken
from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Decoded
from monitord.ingest.limits import MESSAGE_BYTES
from monitord.ingest.records import Said, guessed_level, take_record
from monitord.ingest.settle import settle
from monitord.ingest.tail_file import Piece, TailFile
from monitord.ingest.tail_state import TailState
from monitord.ingest.texts import cleaned, shortened
from monitord.model import DurableSink, Log
from monitord.settings import Ingest
from monitord.telemetry import Telemetry


POLL_SECONDS = 0.25
SAVE_SECONDS = 1.0
# After a fault of ours in looking at a file.
FAILED_SECONDS = 60.0
# After less than this, the next look waits for others to come: each batch costs as 300 events do.
LARGE_BYTES = 64 * 1024

log = structlog.get_logger()


def decode_records(texts: list[bytes], service: str, now: float) -> Decoded:
    """Return the logs of a file's records, read at `now`."""
    into = Decoded()
    errors: list[Exception] = []
    for index, raw in enumerate(texts):
        text = shortened(cleaned(raw.decode("utf-8", "replace").rstrip("\r\n")), MESSAGE_BYTES)
        try:
            _take(index, text, service, now, into)
        except Exception as error:  # noqa: BLE001 - a fault of ours costs neither line nor daemon
            errors.append(error)
            settle(index, Log(time=now, service=service, level="INFO", message=text), now, into)
    if errors:
        log.error("tail.unread", service=service, records=len(errors), error=repr(errors[0]))
    return into


def _take(index: int, text: str, service: str, now: float, into: Decoded) -> None:
    # What is JSON says its level under a key; a word elsewhere means nothing.
    level = "INFO" if text.startswith("{") else guessed_level(text)
    take_record(index, text, Said(time=now, service=service, level=level), now, into)


class Tails:
    """
    Follows the files of `ingest.files` while `run` runs.

    A file that was there at the first start is read from its end, one that appears later from its
    beginning. `rounds` counts the looks at all of them.
    """

    def __init__(
        self,
        ingest: Ingest,
        state_dir: Path,
        sink: DurableSink,
        telemetry: Telemetry,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ingest = ingest
        self._sink = sink
        self._now = now
        self._counts = Counts(telemetry, "file")
        self._lost = telemetry.dropped.labels("file")
        self._state = TailState(state_dir / "tails.json")
        self._files: dict[str, tuple[str, TailFile]] = {}
        self._not_before: dict[str, float] = {}
        self._saved_at = 0.0
        self._looking = threading.Lock()
        self.rounds = 0

    async def run(self) -> None:
        """Read what is added, until cancelled."""
        if not self._ingest.files:
            return
        await asyncio.to_thread(self._load)
        try:
            while True:
                if not await self._round():
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            self._end()

    def _load(self) -> None:
        self._state.load()
        for tail in self._ingest.files:
            for path in tail.paths:
                key = f"{tail.name} {path}"
                file = TailFile(path, self._state.positions.get(key))
                self._files[key] = (tail.name, file)

    def _end(self) -> None:
        with self._looking:  # a look that was cancelled may not have ended
            self._note()
            self._state.save()
            for _, file in self._files.values():
                file.close()

    async def _round(self) -> bool:
        """Look at each file once; say whether any is likely to have more at once."""
        pieces = await asyncio.to_thread(self._look)
        delivered = [await self._deliver(key, piece) for key, piece in pieces.items()]
        self.rounds += 1
        return any(delivered)

    def _look(self) -> dict[str, Piece]:
        with self._looking:
            return self._pieces(time.monotonic())

    def _pieces(self, now: float) -> dict[str, Piece]:
        pieces: dict[str, Piece] = {}
        for key, (_, file) in self._files.items():
            if self._not_before.get(key, 0.0) <= now and (piece := self._piece(key, file, now)):
                file.position = replace(file.position, pending=piece.end)
                pieces[key] = piece
        if pieces or now - self._saved_at >= SAVE_SECONDS:
            self._saved_at = now
            self._note()
            self._state.save()
        return pieces

    def _piece(self, key: str, file: TailFile, now: float) -> Piece | None:
        try:
            return file.look(now)
        except Exception as error:  # noqa: BLE001 - a fault of ours holds up neither daemon nor others
            log.error("tail.failed", path=str(file.path), error=repr(error))
            self._not_before[key] = now + FAILED_SECONDS
            return None

    def _note(self) -> None:
        self._state.positions = {key: file.position for key, (_, file) in self._files.items()}

    async def _deliver(self, key: str, piece: Piece) -> bool:
        """Deliver a piece and go on after it; say whether more is likely to be there at once."""
        service, file = self._files[key]
        now = self._now()
        size = piece.end - piece.start
        decoded = Decoded()
        try:
            self._sink.check_room()
            decoded = await asyncio.to_thread(decode_records, piece.texts, service, now)
            # Each time, as of a sender that comes again: the sink counts each refusal too.
            self._counts.count(decoded)
            await self._sink.deliver(decoded.batch(now, size, _batch_key(key, piece)))
        except NotTaken as refusal:
            if refusal.wait_seconds is not None:
                self._not_before[key] = time.monotonic() + refusal.wait_seconds
                return False
            self._lose(decoded.accepted, file, str(refusal))
        except Exception as error:  # noqa: BLE001 - whatever fails, the daemon and the others go on
            self._lose(decoded.accepted or len(piece.texts), file, repr(error))
        file.taken(piece)
        return size >= LARGE_BYTES

    def _lose(self, events: int, file: TailFile, why: str) -> None:
        log.warning("tail.refused", path=str(file.path), error=why)
        self._lost.inc(events)


def _batch_key(key: str, piece: Piece) -> str:
    named = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return f"file {named} {piece.name}"
