"""The prober asks by its timetable, whatever the answers do."""

from __future__ import annotations

import asyncio

from tests.bench.stall import EVERY_SECONDS, Probe


STALL_SECONDS = 0.5
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_a_stall_is_felt_by_every_question_due_meanwhile() -> None:
    """
    One answer that is late delays all that were due before it came, and each of them says so.
    """
    answered = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while await reader.read(4_096):
            number += 1
            if number == 10:
                await asyncio.sleep(STALL_SECONDS)
            if number == 200:
                answered.set()
            writer.write(ANSWER)
        writer.close()

    probe = Probe()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        running = probe.running(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(running.__enter__)
        await answered.wait()
        await asyncio.to_thread(running.__exit__, None, None, None)

    late = [ms for ms in probe.answers_ms if ms > STALL_SECONDS * 500]
    assert len(late) > STALL_SECONDS / EVERY_SECONDS / 4
