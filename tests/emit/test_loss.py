"""From an application's process over a lossy way to the daemon's sockets: every loss is counted."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time

from collections import Counter
from collections.abc import Callable
from typing import cast

from monitord.ingest.http import IngestServer
from monitord.ingest.udp import UdpListener
from monitord.model import Batch
from monitord.settings import Ingest
from monitord.telemetry import Telemetry
from tests.emit.receiver import BUFFER_BYTES
from tests.emit.test_process import ROOT


EVENTS = 400
# Two processes of each service, parent and child, send EVENTS each.
PROCESSES = 2
APPLICATION = f"""
import os, time
from monitord.emit import Emitter
emitter = Emitter(flush_every=0.002)
child = os.fork()
for number in range({EVENTS}):
    emitter.log("INFO", f"number {{number}}")
    if number % 8 == 7:
        time.sleep(0.004)
emitter.close(10)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""

# Service -> which datagrams of each of its processes are lost, counted from 0.
LOST: dict[str, Callable[[int], bool]] = {
    "none": lambda number: False,
    "every second": lambda number: number % 2 == 1,
    "every seventh": lambda number: number % 7 == 0,
    "the first": lambda number: number < 5,
    "the last": lambda number: number >= 5,
}


class Memory:
    """A sink with room for everything, which knows how many events it took of each service."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()

    def check_room(self) -> None:
        pass

    def offer(self, batch: Batch) -> bool:
        self.taken.update(log.service for log in batch.logs)
        return True

    async def deliver(self, batch: Batch) -> None:
        self.offer(batch)


class Relay(asyncio.DatagramProtocol):
    """Passes datagrams on to the daemon, in order, but for those that are to be lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        # What the kernel has no room for would be lost as well, uncounted.
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)

    def datagram_received(self, data: bytes, address: object) -> None:
        first, *events = data.splitlines()
        envelope = json.loads(first)
        number = self._seen[envelope["id"]]
        self._seen[envelope["id"]] += 1
        if LOST[envelope["service"]](number):
            self.lost[envelope["service"]] += len(events)
        else:
            self._transport.sendto(data, ("127.0.0.1", self._port))


async def application(service: str, port: int) -> None:
    """Run one to its end, which must be a good one."""
    address = f"127.0.0.1:{port}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", APPLICATION),
        cwd=ROOT,
        env={**os.environ, "MONITORD_ADDRESS": address, "MONITORD_SERVICE": service},
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0


async def test_lost_is_what_the_way_lost() -> None:
    """
    Whether datagrams are lost now and then, at the beginning or at the end of a process: of each
    service, sent = taken + lost, and lost is what the relay kept.
    """
    sink, telemetry = Memory(), Telemetry()
    settings = Ingest(port=0)

    def lost() -> dict[str, float]:
        return {
            sample.labels["service"]: sample.value
            for family in telemetry.lost.collect()
            for sample in family.samples
            if sample.name == "monitord_ingest_lost_events_total"
        }

    async with (
        IngestServer(settings, sink, telemetry) as http,
        UdpListener(settings, sink, telemetry, http.senders) as udp,
    ):
        loop = asyncio.get_running_loop()
        transport, relay = await loop.create_datagram_endpoint(
            lambda: Relay(udp.port), local_addr=("127.0.0.1", http.port)
        )
        try:
            await asyncio.gather(*(application(service, http.port) for service in LOST))
            expected = {service: relay.lost[service] for service in LOST}
            assert lost() != expected
            deadline = time.monotonic() + 20
            while lost() != expected and time.monotonic() < deadline:  # noqa: ASYNC110 - it polls
                await asyncio.sleep(0.1)
        finally:
            transport.close()

    sent = EVENTS * PROCESSES
    assert lost() == expected
    assert {service: sink.taken[service] + expected[service] for service in LOST} == {
        service: sent for service in LOST
    }
    assert expected["none"] == 0
    assert all(0 < count < sent for service, count in expected.items() if service != "none")
