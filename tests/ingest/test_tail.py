"""Followed files: written to, rotated, truncated, unreadable; and a crash between two steps."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import shutil

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from structlog.testing import capture_logs

from monitord.ingest import tail, tail_file
from monitord.ingest.limits import MESSAGE_BYTES
from monitord.ingest.multiline import starts
from monitord.ingest.records import guessed_level
from monitord.ingest.tail import Tails, decode_records
from monitord.ingest.tail_file import READ_BYTES, TailFile
from monitord.ingest.tail_state import Position, TailState
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.spool import record
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.intake.window import Window
from monitord.model import LEVELS, Batch, DurableSink, Frame, Log
from monitord.settings import Ingest, Tail
from monitord.telemetry import Telemetry
from tests.ingest.conftest import Recorder
from tests.ingest.test_syslog import TRACEBACK
from tests.ingest.test_udp import counted, until
from tests.test_service import running


NOW = 1_795_459_200.0
EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@contextlib.asynccontextmanager
async def following(
    sink: DurableSink, folder: Path, *names: str, telemetry: Telemetry | None = None
) -> AsyncIterator[Tails]:
    """Follow files of a folder, as the service `shop`, from one start to one stop."""
    paths = tuple(folder / name for name in names or ("main.log",))
    ingest = Ingest(files=(Tail(name="shop", paths=paths),))
    tails = Tails(ingest, folder, sink, telemetry or Telemetry())
    running = asyncio.create_task(tails.run())
    await until(lambda: tails.rounds > 1 or running.done())
    try:
        yield tails
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def logs(sink: Recorder) -> list[Log]:
    return [log for batch in sink.batches for log in batch.logs]


def texts(sink: Recorder) -> list[str]:
    return [log.message for log in logs(sink)]


async def test_only_what_is_added(sink, telemetry, tmp_path) -> None:
    """A file that is there is read from its end, one that appears from its beginning."""
    path, other = tmp_path / "main.log", tmp_path / "other.log"
    add(path, "old\n")
    async with following(sink, tmp_path, "main.log", "other.log", telemetry=telemetry):
        add(path, "ERROR new\n")
        add(other, "first\nsecond\n")
        await until(lambda: len(logs(sink)) == 3)

    assert counted(telemetry, "ingest_events_total", protocol="file", type="log") == 3
    assert sorted(texts(sink)) == ["ERROR new", "first", "second"]
    [error] = [log for log in logs(sink) if log.level == "ERROR"]
    assert (error.service, error.message) == ("shop", "ERROR new")
    assert all(batch.idempotency_key for batch in sink.batches)


async def test_going_on_after_a_stop(sink, tmp_path) -> None:
    """What was added while nobody read is read at the next start; nothing comes twice."""
    path = tmp_path / "main.log"
    add(path, "old\n")
    async with following(sink, tmp_path):
        add(path, "a\n")
        await until(lambda: texts(sink) == ["a"])
    add(path, "b\n")
    async with following(sink, tmp_path):
        await until(lambda: len(logs(sink)) == 2)
        add(path, "c\n")
        await until(lambda: len(logs(sink)) == 3)

    assert texts(sink) == ["a", "b", "c"]


async def test_a_crash_brings_the_same_batch_again(sink, tmp_path) -> None:
    """What was being delivered comes again as it was, under the same key, though more was added."""
    path = tmp_path / "main.log"
    add(path, "")
    deliver = sink.deliver
    noted: list[Batch] = []

    async def killed(batch: Batch) -> None:
        await deliver(batch)
        noted.append(batch)
        shutil.copy(tmp_path / "tails.json", tmp_path / "kept")
        await asyncio.Event().wait()

    sink.deliver = killed
    async with following(sink, tmp_path):
        add(path, "a\nb\nheld\n")
        await until(lambda: len(noted) == 1)
    sink.deliver = deliver
    shutil.copy(tmp_path / "kept", tmp_path / "tails.json")
    add(path, "c\n")
    async with following(sink, tmp_path):
        await until(lambda: len(logs(sink)) == 6)

    assert texts(sink) == ["a", "b", "a", "b", "held", "c"]
    first, again, *others = [batch.idempotency_key for batch in sink.batches]
    assert first == again
    assert first not in others


async def test_a_full_sink_loses_nothing(sink, telemetry, tmp_path) -> None:
    """A file waits: what is refused is read again when there is room."""
    path = tmp_path / "main.log"
    add(path, "")
    room, sink.room = sink.room, 0
    async with following(sink, tmp_path, telemetry=telemetry) as tails:
        add(path, "a\n")
        await until(lambda: bool(tails._not_before))
        add(path, "b\n")
        sink.room = room
        await until(lambda: len(logs(sink)) == 2)

    assert texts(sink) == ["a", "b"]
    assert counted(telemetry, "ingest_events_total", protocol="file", type="log") == 2


async def test_what_is_refused_is_counted_each_time(telemetry, tmp_path) -> None:
    """With the real spool: what was read is what it appended, and what it refused."""
    path = tmp_path / "main.log"
    add(path, "")
    limits = SpoolLimits(spool_bytes=200_000, segment_bytes=100_000, free_bytes=0)
    async with open_spool(tmp_path / "spool", 1, limits) as spool:
        intake = Intake(spool, Window(), Bus())
        async with following(intake, tmp_path, telemetry=telemetry) as tails:
            add(path, "first\n")
            await until(lambda: spool.figures.appended_events == 1)
            add(path, "".join(f"{number} {'x' * 180}\n" for number in range(1_500)))
            await until(lambda: bool(tails._not_before))
        figures = spool.figures

    read = counted(telemetry, "ingest_events_total", protocol="file", type="log")
    assert sum(figures.refused_events.values()) > 0
    assert read == figures.appended_events + sum(figures.refused_events.values())


@pytest.mark.parametrize("copied", [False, True])
async def test_rotation(sink, tmp_path, copied: bool) -> None:
    """Python's rotating handler, and a copy and truncation, cost no line."""
    path = tmp_path / "main.log"
    handler = logging.handlers.RotatingFileHandler(path, backupCount=9)
    expected = [f"{turn} {number}" for turn in range(3) for number in range(100)]
    async with following(sink, tmp_path):
        for place, text in enumerate(expected, start=1):
            handler.emit(logging.makeLogRecord({"msg": text}))
            if place % 100 == 0:
                await until(lambda: texts(sink) == expected[:place])  # noqa: B023
                if copied:
                    shutil.copy(path, tmp_path / f"main.log.{place}")
                    os.truncate(path, 0)
                else:
                    handler.doRollover()
    handler.close()

    assert texts(sink) == expected


async def test_no_two_ranges_share_a_key(sink, tmp_path) -> None:
    """After a truncation the same range of the same inode is another batch."""
    path = tmp_path / "main.log"
    add(path, "")
    async with following(sink, tmp_path) as tails:
        for number in range(3):
            add(path, f"line {number}\n")
            await until(lambda: len(logs(sink)) == number + 1)  # noqa: B023
            seen = tails.rounds
            os.truncate(path, 0)
            await until(lambda: tails.rounds > seen + 1)  # noqa: B023
        add(path, "line 2\n")
        await until(lambda: len(logs(sink)) == 4)

    keys = [batch.idempotency_key for batch in sink.batches]
    assert len(set(keys)) == 4


async def test_a_rotated_file_is_finished_first(sink, tmp_path) -> None:
    """What is written to the old file after it was renamed still comes, before the new file's."""
    path = tmp_path / "main.log"
    add(path, "")
    async with following(sink, tmp_path):
        with path.open("a") as old:
            old.write("a\n")
            old.flush()
            path.rename(tmp_path / "main.log.1")
            add(path, "c\n")
            old.write("b")
            old.flush()
            await until(lambda: len(logs(sink)) == 3)

    assert texts(sink) == ["a", "b", "c"]


@pytest.mark.parametrize("renamed", [True, False])
async def test_rotation_while_nobody_looked(sink, tmp_path, renamed: bool) -> None:
    """A file renamed meanwhile is read on under its new name, then the new one from its start."""
    path = tmp_path / "main.log"
    add(path, "old\n")
    async with following(sink, tmp_path):
        add(path, "a\n")
        await until(lambda: texts(sink) == ["a"])
    add(path, "b\n")
    path.rename(tmp_path / ("main.log-20261123" if renamed else "gone"))
    add(path, "c\n")
    async with following(sink, tmp_path):
        await until(lambda: texts(sink)[-1] == "c")

    assert texts(sink) == (["a", "b", "c"] if renamed else ["a", "c"])


async def test_truncated_and_longer_again(sink, tmp_path) -> None:
    """A file begun anew is told by its beginning, even if it is longer than before."""
    path = tmp_path / "main.log"
    add(path, "old\n")
    async with following(sink, tmp_path):
        path.write_text("new one\nnew two\n")
        await until(lambda: len(logs(sink)) == 2)
    path.write_text("again 1\nagain 2\nagain 3\n")
    async with following(sink, tmp_path):
        await until(lambda: len(logs(sink)) == 5)

    assert texts(sink) == ["new one", "new two", "again 1", "again 2", "again 3"]


async def test_unreadable_is_said_once(sink, tmp_path) -> None:
    """What cannot be read is one warning, and is tried again."""
    path = tmp_path / "main.log"
    path.mkdir()
    with capture_logs() as said:
        async with following(sink, tmp_path) as tails:
            await until(lambda: tails.rounds > 4)
            path.rmdir()
            await until(lambda: tails.rounds > 7)
            add(path, "a\n")
            await until(lambda: texts(sink) == ["a"])

    warnings = [line for line in said if line["event"] == "tail.unreadable"]
    assert [line["path"] for line in warnings] == [str(path)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_forbidden_is_said_once(sink, tmp_path) -> None:
    """A file without the right to read it is one warning; with the right it is read on."""
    path = tmp_path / "main.log"
    path.touch(0o000)
    with capture_logs() as said:
        async with following(sink, tmp_path) as tails:
            await until(lambda: tails.rounds > 4)
    assert [line["event"] for line in said].count("tail.unreadable") == 1


async def test_a_pipe_holds_nothing_up(sink, tmp_path) -> None:
    """What is no regular file is not read: a pipe would wait for ever."""
    os.mkfifo(tmp_path / "main.log")
    async with following(sink, tmp_path, "main.log", "other.log"):
        add(tmp_path / "other.log", "a\n")
        await until(lambda: texts(sink) == ["a"])


async def test_stacks_and_json(sink, tmp_path) -> None:
    """A traceback is one record with its line, and an error; JSON gives level and fields."""
    path = tmp_path / "main.log"
    add(path, "")
    chained = f"{TRACEBACK}\n\nDuring handling of the above exception, another exception occurred:"
    chained += '\n\nTraceback (most recent call last):\n  File "a.py", line 1\nKeyError: 1'
    async with following(sink, tmp_path):
        add(path, f'ERROR {chained}\nINFO on\n  again\n{{"msg":"b","level":"warn","n":1}}\nnext\n')
        await until(lambda: len(logs(sink)) == 4)

    failed, on, said, plain = logs(sink)
    assert failed.message == f"ERROR {chained}"
    assert failed.error is not None
    assert failed.error.type == "KeyError"
    assert (on.message, on.level) == ("INFO on\n  again", "INFO")
    assert (said.message, said.level, said.fields) == ("b", "WARNING", {"n": 1})
    assert plain.message == "next"


def piece(file: TailFile, now: float) -> list[bytes]:
    """Look once, as what is read were safe at once."""
    found = file.look(now)
    if found is None:
        return []
    file.taken(found)
    return found.texts


def test_a_partial_line_waits(tmp_path) -> None:
    """A line without its end waits 5 s for it; a whole one, in case of a stack, for a moment."""
    path = tmp_path / "main.log"
    add(path, "")
    file = TailFile(path, Position())
    assert piece(file, 0.0) == []
    add(path, "a\nb\nc")

    assert piece(file, 1.0) == [b"a"]
    assert piece(file, 1.1) == []
    assert piece(file, 1.25) == [b"b"]
    assert piece(file, 5.9) == []
    assert piece(file, 6.1) == [b"c"]
    add(path, "d\n")
    assert piece(file, 7.0) == []
    assert piece(file, 7.25) == [b"d"]
    file.close()


def test_huge_lines_are_cut(tmp_path) -> None:
    """A huge line gives its beginning, and the next one is whole."""
    path = tmp_path / "main.log"
    path.write_bytes(b"x" * 3 * READ_BYTES + b"\nafter\n" + b"y\n" * READ_BYTES)
    file = TailFile(path, Position())
    found = [text for now in range(30) for text in piece(file, float(now))]
    file.close()

    assert found[0] == b"x" * READ_BYTES
    assert found[1] == b"after"
    assert found[2:] == [b"y"] * READ_BYTES
    [log] = decode_records(found[:1], "shop", NOW).logs
    assert len(log.message.encode()) <= MESSAGE_BYTES
    assert log.message.endswith(" bytes]")


def test_refused_pieces_come_again(tmp_path) -> None:
    """Until a piece is taken, the same range comes again, also of a line that is cut."""
    path = tmp_path / "main.log"
    path.write_bytes(b"x" * (READ_BYTES + 9) + b"\nafter\n")
    file = TailFile(path, Position())

    assert file.look(0.0) == file.look(1.0)
    file.close()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"a", b"b"], [0, 1]),
        ([b"a", b" b", b"\tc", b"", b"d"], [0, 4]),
        ([b"  a", b"b"], [0, 1]),
        ([b"Traceback (most recent call last):", b"  File", b"E: a", b"F: b"], [0, 3]),
        ([b"a", b"Traceback (most recent call last):", b"  File", b'{"a":1}'], [0, 3]),
        ([b"Traceback (most recent call last):", b"", b"> File", b"    x", b"", b"E: a", b"b"],
         [0, 6]),
        ([b"a", b"E b Traceback (most recent call last):", b"  File", b"E: a", b"b"], [0, 1, 4]),
        ([b"  + Exception Group Traceback (most recent call last):", b"  | E: a", b"b"], [0, 2]),
        ([], []),
    ],
)  # fmt: skip
def test_records(lines: list[bytes], expected: list[int]) -> None:
    """Which lines begin a record."""
    assert starts(lines) == expected


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026-11-23 18:40:00 ERROR shop: no", "ERROR"),
        ("2026/11/23 18:40:00 [warn] 7#7: slow", "WARNING"),
        ('ts=1 level=error msg="no"', "ERROR"),
        ('level="fatal"', "CRITICAL"),
        ("<debug> a", "DEBUG"),
        ("FATAL:  no such database", "CRITICAL"),
        ("INFO:     no ERROR", "INFO"),
        ("0 errors", "INFO"),
        ('"GET /ERROR HTTP/1.1"', "INFO"),
        ("x" * 99 + " ERROR", "INFO"),
        (TRACEBACK, "ERROR"),
        ("", "INFO"),
        ("[\u0130nfo] giri\u015f", "INFO"),
        ("level=\u017fuccess", "INFO"),
    ],
)
def test_guessed_level(text: str, level: str) -> None:
    """The first word that is a level is the line's."""
    assert guessed_level(text) == level


@EXAMPLES
@given(st.text('[<="\u0130\u0131\u017finfowarte]> '))
def test_any_word_has_a_level(text: str) -> None:
    """Letters that only look like those of a level are none of its."""
    assert guessed_level(text) in LEVELS


async def test_a_fault_of_ours_ends_nothing(sink, telemetry, tmp_path, monkeypatch) -> None:
    """A line that fails to be read is plain text, the others are read; it is said once a piece."""

    def failing(text: str) -> str:
        if "odd" in text:
            raise KeyError(text)
        return "WARNING"

    monkeypatch.setattr(tail, "guessed_level", failing)
    path = tmp_path / "main.log"
    add(path, "")
    with capture_logs() as said:
        async with following(sink, tmp_path, telemetry=telemetry):
            add(path, "a\nodd\nodd too\nb\n")
            await until(lambda: len(logs(sink)) == 4)

    levels = [(log.message, log.level) for log in logs(sink)]
    assert levels == [("a", "WARNING"), ("odd", "INFO"), ("odd too", "INFO"), ("b", "WARNING")]
    assert [line["records"] for line in said if line["event"] == "tail.unread"] == [2]


async def test_a_sink_that_fails_ends_nothing(sink, telemetry, tmp_path) -> None:
    """What cannot be delivered at all is counted as lost, and the file is read on."""
    path = tmp_path / "main.log"
    add(path, "")
    deliver, sink.deliver = sink.deliver, failing_deliver
    async with following(sink, tmp_path, telemetry=telemetry):
        add(path, "a\nb\n")
        await until(lambda: counted(telemetry, "dropped_events_total", source="file") == 2)
        sink.deliver = deliver
        add(path, "c\n")
        await until(lambda: texts(sink) == ["c"])


async def failing_deliver(batch: Batch) -> None:
    raise ZeroDivisionError


async def test_a_file_that_fails_holds_no_other_up(sink, tmp_path, monkeypatch) -> None:
    """A file that cannot be cut into records is said, and the others are read."""

    def failing(lines: list[bytes]) -> list[int]:
        if b"odd" in lines:
            raise IndexError
        return starts(lines)

    monkeypatch.setattr(tail_file, "starts", failing)
    with capture_logs() as said:
        async with following(sink, tmp_path, "main.log", "other.log"):
            add(tmp_path / "main.log", "odd\n")
            add(tmp_path / "other.log", "a\n")
            await until(lambda: texts(sink) == ["a"])
            await until(lambda: any(line["event"] == "tail.failed" for line in said))


@EXAMPLES
@given(st.lists(st.binary(max_size=60)))
def test_any_bytes(found: list[bytes]) -> None:
    """Whatever a file holds, each record is one log the spool keeps."""
    into = decode_records(found, "shop", NOW)

    assert into.accepted == len(found)
    record.encode(Frame(1, 1, into.batch(NOW, 1)), 1)


@pytest.mark.parametrize("kept", [b"", b"{", b'{"a": 1}', b"\xff", b"[]"])
def test_broken_state_is_no_state(tmp_path, kept: bytes) -> None:
    """A file of positions that cannot be used is said, and left aside."""
    path = tmp_path / "tails.json"
    path.write_bytes(kept)
    state = TailState(path)
    with capture_logs() as said:
        state.load()
    state.positions = {"shop /a": Position(1, 2, "ab", 3, 4)}
    state.save()

    again = TailState(path)
    again.load()
    assert again.positions == state.positions
    assert [line["event"] for line in said] == ["tail.state_failed"]


def test_state_that_cannot_be_written_is_said_once(tmp_path) -> None:
    """A full or missing disk is one warning, not one a second."""
    state = TailState(tmp_path / "missing" / "tails.json")
    state.positions = {"a": Position()}
    with capture_logs() as said:
        state.save()
        state.save()

    assert len(said) == 1


async def test_a_daemon_that_was_killed_stores_each_line_once(tmp_path, database: str) -> None:
    """With the real store: the range that was being delivered comes again, and is left out."""
    path = tmp_path / "main.log"
    kept = tmp_path / "state" / "tails.json"
    settings = {
        "store": {"dsn": database},
        "ingest": {"port": 0, "files": {"shop": {"paths": [str(path)]}}},
        "targets": {"host": {"enabled": False}},
    }
    async with running(tmp_path, **settings):
        await until(kept.exists)
        add(path, "a\nb\nERROR c\n")
        await until(lambda: position(kept).offset == path.stat().st_size)
    whole = position(kept)
    add(path, "d\n")
    # As a kill leaves it between the spool's answer and the next note.
    state = TailState(kept)
    [key] = json.loads(kept.read_text())
    state.positions = {key: structs.replace(whole, offset=4, pending=whole.offset)}
    state.save()
    async with running(tmp_path, **settings):
        await until(lambda: position(kept).offset == path.stat().st_size)

    connection = await asyncpg.connect(database)
    rows = await connection.fetch("SELECT message FROM logs ORDER BY writer, seq, index")
    await connection.close()
    assert [row["message"] for row in rows] == ["a", "b", "ERROR c", "d"]


def position(kept: Path) -> Position:
    [found] = msgspec.json.decode(kept.read_bytes(), type=dict[str, Position]).values()
    return found
