"""`monitord spool` as an operator meets it: real processes on real folders, hostile events too."""

from __future__ import annotations

import asyncio
import json
import shutil
import stat
import time

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from monitord import settings
from monitord.embedded.lock import FolderLock
from monitord.intake.dead_letters import DeadLetterFile
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, DeadLetter, Frame, Log, Metric, Request
from monitord.settings import Settings
from monitord.spool_commands.replaying import as_text, replay
from monitord.telemetry import Telemetry
from tests.test_cli import run, running


Event = Request | Log | Metric
Bytes = dict[str, bytes]

AT = 1_785_585_600.0  # 2026-08-01 12:00:00 UTC
LIMITS = SpoolLimits(segment_bytes=4_000, free_bytes=0)
EVENTS: list[Event] = [
    Request(AT, "shop", "GET", "/orders/{id}", 500, 12.5, id="a"),
    Log(AT + 1, "shop", "ERROR", "no more paper", fields={"tray": 2}),
    Metric(AT + 2, "redis.memory.used", 3.0),
]

# What a terminal would obey, or take for another line.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\u202ered\x9b31m\u2028\x7f\tend"


def folder(tmp_path: Path) -> Path:
    """Return the state folder that `tests.test_cli.environment` names."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def file(tmp_path: Path) -> Path:
    return folder(tmp_path) / "dead_letters.jsonl"


async def refuse(tmp_path: Path, *events: Event, reason: str = "no room", seq: int = 1) -> None:
    """Let the store's own file of dead letters take events."""
    letters = [DeadLetter(7, seq, index, reason, event) for index, event in enumerate(events)]
    await DeadLetterFile(file(tmp_path), Telemetry(), now=lambda: AT).keep(letters)


async def fill(tmp_path: Path, frames: int, done: int = 0) -> None:
    """Leave a spool as a daemon does that has stopped."""
    log = Log(AT, "shop", "INFO", "x" * 100)
    async with open_spool(folder(tmp_path) / "spool", 5, LIMITS, clock=lambda: AT) as spool:
        for number in range(frames):
            spool.append(Batch(AT + number, logs=[log], size_bytes=170))
            if number % 10 == 9:
                await spool.settled()
        await spool.settled()
        spool.done((await spool.next(done, 1 << 20))[:done] if done else [])


async def waiting(tmp_path: Path) -> list[Batch]:
    """Return what the next daemon would find in the spool, in order."""
    frames: list[Frame] = []
    async with open_spool(folder(tmp_path) / "spool", 5, LIMITS) as spool:
        while spool.backlog.frames:
            some = await spool.next(10_000, 16 << 20)
            frames += some
            spool.done(some)
    return [frame.batch for frame in sorted(frames, key=lambda one: (one.writer, one.seq))]


def events_of(batches: Sequence[Batch]) -> list[Event]:
    events: list[Event] = []
    for batch in batches:
        events += [*batch.requests, *batch.logs, *batch.metrics]
    return events


def contents(path: Path) -> Bytes:
    """Return every file below a folder but the cursor, which a spool's owner writes by itself."""
    files = sorted(one for one in path.rglob("*") if one.is_file() and one.name != "cursor")
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


def segments(tmp_path: Path) -> list[Path]:
    return sorted((folder(tmp_path) / "spool").glob("*.seg"))


def damage(path: Path) -> None:
    """Change a byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("part", ["", "inspect", "dead-letters", "replay"])
async def test_help_tells_the_exit_codes(tmp_path: Path, part: str) -> None:
    """
    Every --help of the group says what the exit codes mean.
    """
    code, out, _ = await run(tmp_path, "spool", *part.split(), "--help")

    assert code == 0
    assert "exit codes:" in out


@pytest.mark.parametrize(
    "arguments",
    [[], ["empty"], ["dead-letters", "--limit", "-1"], ["dead-letters", "--limit", "many"]],
)
async def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    """
    Wrong usage is exit code 2.
    """
    code, out, err = await run(tmp_path, "spool", *arguments)

    assert (code, out) == (2, "")
    assert "usage: monitord spool" in err


async def test_inspect_beside_its_owner(tmp_path: Path) -> None:
    """
    A sound spool is told segment by segment with what waits, changing nothing, while it is used.
    """
    await fill(tmp_path, 60, done=5)
    async with open_spool(folder(tmp_path) / "spool", 6, LIMITS) as spool:
        spool.append(Batch(AT + 100, requests=[EVENTS[0]], metrics=[EVENTS[2]] * 2))  # type: ignore[list-item]
        await spool.settled()
        before = contents(folder(tmp_path))

        code, out, err = await run(tmp_path, "spool", "inspect")

        assert contents(folder(tmp_path)) == before
    lines = out.splitlines()
    total = next(line for line in lines if line.startswith("total"))
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines if ".seg" in line] == [
        one.name for one in segments(tmp_path)
    ]
    assert total.split()[3:8] == ["61", "56", "1", "60", "2"]
    assert "2026-08-01 12:00:00Z  2026-08-01 12:01:40Z  -" in total
    assert "put aside: nothing" in lines
    assert lines[-1].startswith("cursor: whole; the last run began ")


async def test_inspect_of_damage(tmp_path: Path) -> None:
    """
    Damage is told where it is, and makes the exit code 1.
    """
    await fill(tmp_path, 60)
    damage(segments(tmp_path)[0])

    code, out, err = await run(tmp_path, "spool", "inspect")
    _, document, _ = await run(tmp_path, "spool", "inspect", "--json")

    told = json.loads(document)
    assert (code, err) == (1, "")
    assert " B in 1 place" in out.splitlines()[1]
    assert "  1 damaged" in out
    assert told["sound"] is False
    assert [one["damaged_stretches"] for one in told["segments"]] == [
        1,
        *[0] * (len(segments(tmp_path)) - 1),
    ]
    assert sum(one["frames"] for one in told["segments"]) == 59


async def test_inspect_of_what_was_put_aside(tmp_path: Path) -> None:
    """
    Damage that was put aside is told until somebody removes it.
    """
    await fill(tmp_path, 1)
    bad = folder(tmp_path) / "spool" / "0000000000000001-000000000052-000000000003.bad"
    bad.write_bytes(b"xyz")

    code, out, _ = await run(tmp_path, "spool", "inspect")
    bad.unlink()
    after, _, _ = await run(tmp_path, "spool", "inspect")

    assert (code, after) == (1, 0)
    assert "put aside: 1 file, 3 B" in out.splitlines()


async def test_unfinished_end_is_no_damage(tmp_path: Path) -> None:
    """
    Half a record at the very end was promised to nobody: it is said, and the spool is sound.
    """
    await fill(tmp_path, 60)
    last = segments(tmp_path)[-1]
    last.write_bytes(last.read_bytes()[:-10])

    code, out, _ = await run(tmp_path, "spool", "inspect")

    assert code == 0
    assert "none (an unfinished end of " in out


async def test_unusable_cursor(tmp_path: Path) -> None:
    """
    A cursor that cannot be read is damage, with what it costs.
    """
    await fill(tmp_path, 1)
    damage(folder(tmp_path) / "spool" / "cursor")

    code, out, _ = await run(tmp_path, "spool", "inspect")

    assert code == 1
    assert out.splitlines()[-1].startswith("cursor: cannot be read; the frames come again")


async def test_inspect_of_no_spool(tmp_path: Path) -> None:
    """
    Where no spool is, one line says so and nothing is made.
    """
    code, out, err = await run(tmp_path, "spool", "inspect")

    assert (code, out) == (3, "")
    assert err == f"{tmp_path}/state/spool: no spool is there; `run` makes it when it starts\n"
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("part", ["dead-letters", "replay"])
async def test_no_dead_letters(tmp_path: Path, part: str) -> None:
    """
    Without the file there is nothing to list or to send, which is as it should be.
    """
    code, out, err = await run(tmp_path, "spool", part)

    assert (code, err) == (0, "")
    assert out == f"no dead letters in {tmp_path}/state/dead_letters.jsonl\n"
    assert contents(tmp_path) == {}


async def test_dead_letters_newest_last(tmp_path: Path) -> None:
    """
    A letter is a line with time, reason, type and event; all are counted, by their reasons.
    """
    await refuse(tmp_path, *EVENTS, reason="out of range")
    await refuse(tmp_path, EVENTS[1], reason="no room", seq=2)

    code, out, err = await run(tmp_path, "spool", "dead-letters", "--limit", "3")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "2026-08-01 12:00:00Z  out of range  log  shop ERROR no more paper",
        "2026-08-01 12:00:00Z  out of range  metric  redis.memory.used 3.0",
        "2026-08-01 12:00:00Z  no room  log  shop ERROR no more paper",
        f"4 dead letters in {file(tmp_path)}, of which the newest 3 are above",
        "       3  out of range",
        "       1  no room",
    ]


async def test_hostile_events_obey_no_terminal(tmp_path: Path) -> None:
    """
    Escapes, line ends and a megabyte of text come as one short line of plain characters each.
    """
    hostile: list[Event] = [
        Log(AT, HOSTILE, "INFO", HOSTILE + "x" * 1_000_000),
        Request(AT, "shop", HOSTILE, HOSTILE, 200, 1.0),
        Metric(AT, HOSTILE, 1.0, attributes={HOSTILE: HOSTILE}),
        Log(AT, "shop", "INFO", "x", fields={"a": object()}),
        Log(AT, "shop", "INFO", "\ud800"),
    ]
    await refuse(tmp_path, *hostile, reason=HOSTILE)

    code, out, err = await run(tmp_path, "spool", "dead-letters")
    _, document, fault = await run(tmp_path, "spool", "dead-letters", "--json")

    assert (code, err, fault) == (0, "", "")
    assert len(out.split("\n")) == 5 + 1 + 1 + 1
    assert all(line.isprintable() for line in out.split("\n"))
    assert max(map(len, out.split("\n"))) < 1_500
    assert document.isascii()
    assert document.rstrip("\n").isprintable()
    told = json.loads(document)
    assert told["reasons"] == {HOSTILE: 5}
    assert told["newest"][0]["event"]["message"] == HOSTILE + "x" * 1_000_000


async def test_lines_that_are_no_letters(tmp_path: Path) -> None:
    """
    A line a crash has cut, and rubbish, are said and cost no letter.
    """
    await refuse(tmp_path, EVENTS[0])
    deep = b"[" * 100_000
    with file(tmp_path).open("ab") as added:
        added.write(b'rubbish\n\n{"at": NaN}\n\xff\xfe\n' + deep + b'\n{"at": 1, "reas')

    code, out, err = await run(tmp_path, "spool", "dead-letters")

    assert (code, err) == (0, "")
    assert f"1 dead letter in {file(tmp_path)}" in out.splitlines()
    assert "besides, 4 lines without a letter" in out.splitlines()
    assert out.splitlines()[-1].startswith("the last line is cut off")


async def test_replay_puts_events_into_the_spool_as_they_were(tmp_path: Path) -> None:
    """
    Each event goes into the spool with its own time and nothing else changed; the file goes.
    """
    await refuse(tmp_path, *EVENTS)

    code, out, err = await run(tmp_path, "spool", "replay")

    assert (code, err) == (0, "")
    assert out == "3 events sent; monitord stores what the spool holds when it runs\n"
    assert not file(tmp_path).exists()
    batches = await waiting(tmp_path)
    assert events_of(batches) == EVENTS
    assert all(abs(one.received_at - time.time()) < 600 for one in batches)


async def test_replay_keeps_what_it_cannot_send(tmp_path: Path) -> None:
    """
    What is no event stays in the file as it was, told by its reasons; the exit code is 1.
    """
    text = Log(AT, "shop", "INFO", "\ud800", fields={"a": object()})
    no_number = Metric(AT, "depth", float("nan"))
    surrogate = Log(AT, "shop", "INFO", "\ud800")
    await refuse(tmp_path, EVENTS[0], text, no_number, surrogate)
    before = file(tmp_path).read_bytes().splitlines(keepends=True)
    with file(tmp_path).open("ab") as added:
        added.write(b'{"at": 1, "reas')

    code, out, err = await run(tmp_path, "spool", "replay")

    lines = out.splitlines()
    assert (code, err) == (1, "")
    assert lines[0].startswith("1 event sent; ")
    assert lines[1] == f"4 lines kept in {file(tmp_path)}"
    assert sorted(line.split(maxsplit=1)[1].split(":")[0] for line in lines[2:]) == [
        "it is kept as text only, because JSON could not hold it",
        "it is no event",
        "the events cannot be kept in the spool's format",
        "the line is no letter",
    ]
    assert file(tmp_path).read_bytes() == b"".join([*before[1:], b'{"at": 1, "reas\n'])
    assert stat.S_IMODE(file(tmp_path).stat().st_mode) == 0o600
    assert events_of(await waiting(tmp_path)) == EVENTS[:1]


async def test_letter_written_twice_is_sent_once(tmp_path: Path) -> None:
    """
    After a crash one event may have two lines: it is sent once, and both lines go.
    """
    await refuse(tmp_path, EVENTS[1])
    await refuse(tmp_path, EVENTS[1], reason="still no room")

    _, out, _ = await run(tmp_path, "spool", "replay")

    assert out.startswith("1 event sent; ")
    assert not file(tmp_path).exists()
    assert events_of(await waiting(tmp_path)) == [EVENTS[1]]


async def test_replay_of_many(tmp_path: Path) -> None:
    """
    A file of thousands goes in order, however often the disk is waited for.
    """
    many = [Metric(AT, "n", float(number)) for number in range(2_500)]
    await refuse(tmp_path, *many)

    code, out, _ = await run(tmp_path, "spool", "replay")

    assert (code, out.split()[0]) == (0, "2,500")
    assert events_of(await waiting(tmp_path)) == many


async def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    """
    --dry-run says what would be sent, beside a monitord that runs, and leaves all as it is.
    """
    await refuse(tmp_path, *EVENTS)
    with file(tmp_path).open("ab") as added:
        added.write(b"rubbish\n")

    with FolderLock(folder(tmp_path)):
        before = contents(tmp_path)
        code, out, err = await run(tmp_path, "spool", "replay", "--dry-run")

    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "3 events would be sent",
        f"1 line would be kept in {file(tmp_path)}",
        "       1  the line is no letter",
    ]
    assert contents(tmp_path) == before


async def test_replay_beside_a_monitord_that_runs(tmp_path: Path) -> None:
    """
    While a monitord has the folder nothing is sent or changed; one line says who has it.
    """
    await refuse(tmp_path, *EVENTS)

    with FolderLock(folder(tmp_path)):
        before = contents(tmp_path)
        code, out, err = await run(tmp_path, "spool", "replay")

    assert (code, out) == (3, "")
    assert err.startswith(f"{folder(tmp_path)}: another monitord (process ")
    assert err.count("\n") == 1
    assert contents(tmp_path) == before


async def test_disk_without_room_keeps_the_letters(tmp_path: Path) -> None:
    """
    What the spool refuses stays in the file and is told with the spool's reason.
    """
    await refuse(tmp_path, *EVENTS)
    before = file(tmp_path).read_bytes()
    no_room = Settings(state_dir=folder(tmp_path), spool=settings.Spool(keep_free_bytes=1 << 60))

    sent, kept = await replay(no_room)

    assert (sent, kept) == (0, {"the spool's disk takes no more": 3})
    assert list(as_text(sent, kept, file(tmp_path), dry_run=False)) == [
        f"3 lines kept in {file(tmp_path)}",
        "       3  the spool's disk takes no more",
    ]
    assert file(tmp_path).read_bytes() == before
    assert await waiting(tmp_path) == []


async def test_replay_that_was_cut_off_and_done_again(tmp_path: Path, database: str) -> None:
    """
    Sent twice, because a crash came before the file was put away, an event is stored once, and at
    the time it happened.
    """
    happened = time.time() - 3 * 86_400
    event = Request(happened, "shop", "GET", "/late", 200, 1.0)
    await refuse(tmp_path, event)
    shutil.copy(file(tmp_path), tmp_path / "copy")
    first, _, _ = await run(tmp_path, "spool", "replay")
    shutil.copy(tmp_path / "copy", file(tmp_path))
    again, _, _ = await run(tmp_path, "spool", "replay")
    replayed = time.time()
    config = tmp_path / "monitord.yaml"
    config.write_text(f"store: {{dsn: '{database}'}}\nlog: {{format: json}}\n")

    async with running(tmp_path, "--config", str(config)):
        rows = await stored(database, "/late", replayed)

    assert (first, again) == (0, 0)
    assert len(rows) == 1
    assert rows[0]["at"] == pytest.approx(happened, abs=0.001)
    assert not file(tmp_path).exists()


async def stored(database: str, route: str, before: float) -> list[Any]:
    """Return the rows of a route, once the frames of both replays, run before, are applied."""
    query = """
    SELECT extract(epoch FROM at)::float8 AS at
    FROM requests JOIN endpoints USING (host_id, endpoint_id) WHERE route = $1
    """
    replays = "SELECT count(*) FROM writers WHERE writer < $1 AND NOT isempty(applied)"
    connection = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval(replays, int(before * 1000)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return list(await connection.fetch(query, route))
    finally:
        await connection.close()
