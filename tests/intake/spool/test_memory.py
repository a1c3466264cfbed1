"""Memory during an outage of the store: bounded, however much waits on disk."""

import asyncio
import subprocess
import sys
import threading

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from monitord.intake.spool.segment import Damage, Place, Source, walk
from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.model import Batch, Frame


ROOT = Path(__file__).parents[3]

# Half a million requests nobody takes, then all of them drained: about 90 MB on disk.
OUTAGE = """
import asyncio, sys, time
from pathlib import Path
import msgspec
from monitord.intake.spool.spool import SpoolLimits, open_spool
from monitord.model import Batch, Frame, Request

EVENTS = 500_000

def resident():
    fields = (line.split() for line in open("/proc/self/status"))
    return int(next(one[1] for one in fields if one[0] == "VmRSS:")) * 1024

# Decoded anew for each batch, as what arrives is.
body = msgspec.json.encode([
    Request(time=1.8e9 + one, service="shop", method="GET", route="/orders/{id}", status=200,
            duration_ms=12.5 + one, trace_id=f"{one:032x}", span_id=f"{one:016x}")
    for one in range(500)
])
decoder = msgspec.json.Decoder(list[Request])

async def main():
    async with open_spool(Path(sys.argv[1]), 5, SpoolLimits(free_bytes=0)) as spool:
        before = most = resident()
        for _ in range(EVENTS // 500):
            requests = decoder.decode(body)
            frame = spool.append(Batch(time.time() - 60, requests, size_bytes=85_000))
            assert isinstance(frame, Frame), frame
            if frame.seq % 10 == 0:
                await spool.settled()
                most = max(most, resident())
        await spool.settled()
        assert spool.backlog.events == EVENTS
        drained = 0
        while drained < EVENTS:
            frames = await spool.next(20_000, 4 << 20)
            spool.done(frames)
            drained += sum(len(one.batch) for one in frames)
            most = max(most, resident())
        print(most - before)

asyncio.run(main())
"""


def test_an_outage_takes_little_memory(tmp_path: Path) -> None:
    """What fell out of memory is read back a little at a time: 64 MiB are never exceeded."""
    done = subprocess.run(
        [sys.executable, "-c", OUTAGE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout.split()[-1]) < 64 * 1024 * 1024, done.stdout


async def test_frames_that_come_while_their_segment_is_read(
    tmp_path: Path,
    batch: Callable[..., Batch],
    drained: Callable[[Spool], Awaitable[list[Frame]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was not there yet when the reader came by is neither lost nor passed over."""
    read, go_on = threading.Event(), threading.Event()

    def slowly(source: Source, at: int) -> Iterator[Place | Damage]:
        yield from walk(source, at)
        read.set()
        assert go_on.wait(10)

    monkeypatch.setattr("monitord.intake.spool.reader.walk", slowly)
    async with open_spool(tmp_path, 5, SpoolLimits(memory_bytes=0, free_bytes=0)) as spool:
        spool.append(batch(1))
        await spool.settled()
        reading = asyncio.create_task(spool.next(100, 4 << 20))
        assert await asyncio.to_thread(read.wait, 10)
        spool.append(batch(2))
        await spool.settled()
        go_on.set()
        await reading

        assert [one.seq for one in await drained(spool)] == [1, 2]
        assert spool.backlog.lost_frames == 0
