"""The UDP listener, through real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from structlog.testing import capture_logs

from monitord.errors import SettingsError
from monitord.ingest import kernel
from monitord.ingest.udp import (
    BATCH_BYTES,
    BATCH_DATAGRAMS,
    DATAGRAM_BYTES,
    FURTHER_PORTS,
    UdpListener,
)
from monitord.model import Batch
from monitord.settings import Ingest, Udp
from monitord.telemetry import Telemetry


GOOD = b'{"type":"metric","name":"queue.depth","value":%d}'
MIB = 1024 * 1024


def ingest(host: str = "127.0.0.1", *networks: str, buffer_bytes: int = 8 * MIB) -> Ingest:
    allowed = tuple(ipaddress.ip_network(network) for network in networks)
    return Ingest(host=host, port=0, udp=Udp(allow_from=allowed, receive_buffer_bytes=buffer_bytes))


@contextlib.contextmanager
def sender(port: int, address: str = "127.0.0.1") -> Iterator[Callable[[bytes], int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        yield sock.send


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        await asyncio.sleep(0.01)


def counted(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"monitord_{name}", labels) or 0.0


async def test_ten_thousand_datagrams_are_all_counted(sink, telemetry) -> None:
    """Every datagram arrives as an event, in batches of a bounded size."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(10_000):
                send(GOOD % number)
                if number % 500 == 499:
                    await asyncio.sleep(0)
        await until(lambda: sink.events == 10_000)

    values = [metric.value for batch in sink.batches for metric in batch.metrics]
    assert values == list(range(10_000))
    assert max(len(batch) for batch in sink.batches) <= BATCH_DATAGRAMS
    assert counted(telemetry, "ingest_datagrams_total") == 10_000
    assert counted(telemetry, "ingest_events_total", protocol="udp", type="metric") == 10_000
    assert counted(telemetry, "ingest_udp_kernel_drops") == 0


async def test_a_burst_while_the_loop_is_busy_waits_in_the_buffer(sink, telemetry) -> None:
    """What arrives while nothing reads is read afterwards, a turn at a time."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(2_000):
                send(GOOD % number)
            assert sink.events == 0
        await until(lambda: sink.events == 2_000)

    assert len(sink.batches) == -(-2_000 // BATCH_DATAGRAMS)


async def test_what_comes_within_a_moment_is_one_batch(sink, telemetry) -> None:
    """Datagrams that come one by one share a batch, and none waits for long."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(50):
                send(GOOD % number)
                await asyncio.sleep(0)
        await until(lambda: sink.events == 50)

    assert len(sink.batches) < 25


async def test_large_datagrams_end_a_batch_by_their_bytes(sink, telemetry) -> None:
    """A batch is bounded in bytes as well, so that none grows with the datagrams."""
    large = b"\n".join([GOOD % 1] * 1_000)
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for _ in range(40):
                send(large)
        await until(lambda: sink.events == 40_000)

    assert max(batch.size_bytes for batch in sink.batches) <= BATCH_BYTES + len(large)


async def test_what_arrived_before_the_end_is_taken_along(sink, telemetry) -> None:
    """Closing reads the buffer out first."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(1_000):
                send(GOOD % number)

    assert sink.events == 1_000


async def test_a_bad_line_costs_no_neighbour(sink, telemetry) -> None:
    """One bad line of a datagram, and one bad datagram of a turn, are counted by its reason."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            send(b"\n".join((GOOD % 1, b"nonsense", GOOD % 2)))
            send(b'{"type":"event","time":1}')
            send(b"")
            send(GOOD % 3)
        await until(lambda: sink.events == 3)

    assert counted(telemetry, "ingest_datagrams_total") == 4
    for reason in ("not_json", "unsupported_type"):
        assert (
            counted(telemetry, "ingest_rejected_events_total", protocol="udp", reason=reason) == 1
        )


@pytest.mark.parametrize("close_early", [False, True])
async def test_dear_events_give_others_a_turn(sink, telemetry, close_early: bool) -> None:
    """A burst that must be looked into is decoded in many turns, whole and in order."""
    turns_at: list[int] = []
    turns = 0
    offer = sink.offer

    def noting(batch: Batch) -> bool:
        turns_at.append(turns)
        return offer(batch)

    async def turning() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    sink.offer = noting
    odd = b'{"type":"metric","name":"n","service":"s","value":%d,"region":"eu"}'
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(256):
                send(b"\n".join([odd % number] * 20))
            send(GOOD % 256)
        turner = asyncio.create_task(turning())
        if not close_early:
            await until(lambda: sink.events == 256 * 20 + 1)
        turner.cancel()

    values = [metric.value for batch in sink.batches for metric in batch.metrics]
    assert values == [float(number) for number in range(256) for _ in range(20)] + [256.0]
    assert close_early or turns_at[0] >= 15


async def test_a_full_sink_is_a_counted_loss(sink, telemetry) -> None:
    """UDP cannot be told to wait: what the sink has no room for is counted as dropped."""
    sink.room = 0
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with sender(listener.port) as send:
            send(b"\n".join([GOOD % 1] * 7))
        await until(lambda: counted(telemetry, "ingest_datagrams_total") == 1)

    assert counted(telemetry, "dropped_events_total", source="udp") == 7


async def test_kernel_drops_are_seen(sink, telemetry) -> None:
    """With a tiny buffer and a stopped loop, sent = read + dropped, to the datagram."""
    async with UdpListener(ingest(buffer_bytes=4_096), sink, telemetry) as listener:
        with sender(listener.port) as send:
            for number in range(1_000):
                send(GOOD % number)
        listener.read_drops()
        dropped = counted(telemetry, "ingest_udp_kernel_drops")
        await until(lambda: sink.events + dropped == 1_000)

    assert 0 < sink.events < 1_000
    assert counted(telemetry, "ingest_udp_kernel_drops") == dropped


async def test_receive_buffer_is_reported(sink, telemetry) -> None:
    """The effective size is shown and logged; far below what was asked, with what mends it."""
    with capture_logs() as logs:
        async with UdpListener(ingest(buffer_bytes=65_536), sink, telemetry):
            effective = counted(telemetry, "ingest_udp_receive_buffer_bytes")
        async with UdpListener(ingest(buffer_bytes=2**31 - 1), sink, telemetry):
            most = counted(telemetry, "ingest_udp_receive_buffer_bytes")

    assert effective == 65_536
    listening = [line for line in logs if line["event"] == "ingest.listening"]
    assert [line["receive_buffer_bytes"] for line in listening] == [effective, most]
    small = [line for line in logs if line["event"] == "ingest.small_receive_buffer"]
    assert [line["asked_bytes"] for line in small] == [2**31 - 1]
    assert small[0]["remedy"] == f"sysctl -w net.core.rmem_max={2**31 - 1}"


@pytest.mark.parametrize(
    ("networks", "taken"),
    [
        (("127.0.0.1/32",), 1),
        (("127.0.0.2/32", "fd00::/8"), 1),
        (("127.0.0.0/30",), 2),
        (("192.0.2.0/24",), 0),
    ],
)
async def test_allow_from(sink, telemetry, networks: tuple[str, ...], taken: int) -> None:
    """Where others may send, only the named networks are read; strangers are counted."""
    # Not known to be a loopback address until it is resolved: hence guarded, and still harmless.
    async with UdpListener(ingest("127.1", *networks), sink, telemetry) as listener:
        for source in ("127.0.0.1", "127.0.0.2"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(GOOD % 1, ("127.0.0.1", listener.port))
        await until(lambda: counted(telemetry, "ingest_datagrams_total") == 2)

    labels = {"protocol": "udp", "reason": "source_not_allowed"}
    assert sink.events == taken
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 2 - taken


async def test_reachable_bind_needs_networks(sink, telemetry) -> None:
    """A bind that others can reach refuses to start without `allow_from`."""
    with pytest.raises(SettingsError, match=r"^ingest\.udp\.allow_from: 0\.0\.0\.0 can be reached"):
        async with UdpListener(ingest("0.0.0.0"), sink, telemetry):
            pass


async def test_ipv6_loopback(sink, telemetry) -> None:
    """The other loopback works as well, and its drops are found in the other table."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no ::1")
    async with UdpListener(ingest("::1", buffer_bytes=4_096), sink, telemetry) as listener:
        with sender(listener.port, "::1") as send:
            for number in range(500):
                send(GOOD % number)
        await until(lambda: sink.events > 0)
        await asyncio.sleep(0)

    assert sink.events + counted(telemetry, "ingest_udp_kernel_drops") == 500


@pytest.mark.parametrize("name", FURTHER_PORTS)
async def test_further_ports_take_the_same(sink, telemetry, name: str) -> None:
    """What comes to the port another system sends to is as good as on the port of all."""
    port = free_port()
    settings = msgspec.structs.replace(ingest(), **{name: port})
    async with UdpListener(settings, sink, telemetry) as listener:
        with sender(listener.port) as send, sender(port) as send_further:
            for number in range(100):
                send(GOOD % number)
                send_further(GOOD % number)
        await until(lambda: sink.events == 200)

    assert counted(telemetry, "ingest_datagrams_total") == 200
    assert free_port(port) == port


async def test_drops_of_further_ports_are_seen(sink, telemetry) -> None:
    """A loss on any of the ports is in the one figure."""
    port = free_port()
    settings = msgspec.structs.replace(ingest(buffer_bytes=4_096), statsd_port=port)
    async with UdpListener(settings, sink, telemetry) as listener:
        with sender(port) as send:
            for number in range(1_000):
                send(GOOD % number)
        listener.read_drops()
        dropped = counted(telemetry, "ingest_udp_kernel_drops")
        await until(lambda: sink.events + dropped == 1_000)

    assert dropped > 0


@pytest.mark.parametrize("name", FURTHER_PORTS)
async def test_taken_further_port(sink, telemetry, name: str) -> None:
    """A further port in use is a mistake of its own setting; the first one is let go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = free_port()
        taken = Ingest(port=port, **{name: sock.getsockname()[1]})

        with pytest.raises(
            SettingsError, match=rf"^ingest\.{name}: cannot listen on 127\.0\.0\.1:"
        ):
            async with UdpListener(taken, sink, telemetry):
                pass

    assert free_port(port) == port


async def test_further_port_checks_its_sources(sink, telemetry) -> None:
    """Strangers are no more welcome there."""
    port = free_port()
    settings = msgspec.structs.replace(ingest("127.1", "192.0.2.0/24"), statsd_port=port)
    async with UdpListener(settings, sink, telemetry):
        with sender(port) as send:
            send(GOOD % 1)
        await until(lambda: counted(telemetry, "ingest_datagrams_total") == 1)

    labels = {"protocol": "udp", "reason": "source_not_allowed"}
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 1
    assert sink.events == 0


async def test_unix_socket(sink, telemetry, tmp_path: Path) -> None:
    """Datagrams come by a socket in the file system too: everybody may write, and it goes away."""
    path = tmp_path / "dsd.socket"
    async with UdpListener(by_unix_socket(path), sink, telemetry):
        mode = path.stat().st_mode & 0o777
        await asyncio.to_thread(send_by, path, [GOOD % number for number in range(2_000)])
        await until(lambda: sink.events == 2_000)

    values = [metric.value for batch in sink.batches for metric in batch.metrics]
    assert values == list(range(2_000))
    assert mode == 0o722
    assert not path.exists()


async def test_unix_socket_needs_no_networks(sink, telemetry, tmp_path: Path) -> None:
    """Who may send there is up to the file system, not to `allow_from`."""
    path = tmp_path / "dsd.socket"
    settings = msgspec.structs.replace(ingest("127.1", "192.0.2.0/24"), statsd_socket=path)
    async with UdpListener(settings, sink, telemetry):
        await asyncio.to_thread(send_by, path, [GOOD % 1])
        await until(lambda: sink.events == 1)


async def test_unix_socket_is_read_out_at_the_end(sink, telemetry, tmp_path: Path) -> None:
    """What was sent before the end is taken along, as from the ports."""
    path = tmp_path / "dsd.socket"
    async with UdpListener(by_unix_socket(path), sink, telemetry):
        send_by(path, [GOOD % number for number in range(5)])

    assert sink.events == 5


async def test_unix_socket_takes_the_place_of_a_dead_one(sink, telemetry, tmp_path: Path) -> None:
    """One that a crash has left is replaced; a file that is no socket is not."""
    path, file = tmp_path / "dsd.socket", tmp_path / "file"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(path))
    file.write_text("mine")
    async with UdpListener(by_unix_socket(path), sink, telemetry):
        send_by(path, [GOOD % 1])
        await until(lambda: sink.events == 1)

    with pytest.raises(SettingsError, match=r"^ingest\.statsd_socket: cannot listen at .*file: "):
        async with UdpListener(by_unix_socket(file), sink, telemetry):
            pass
    assert file.read_text() == "mine"


async def test_unix_socket_in_use_is_left_alone(sink, telemetry, tmp_path: Path) -> None:
    """One that another process reads stays its own, of whichever type it is."""
    path, other = tmp_path / "dsd.socket", tmp_path / "stream.socket"
    refusal = r"^ingest\.statsd_socket: .*\.socket is another process's: "
    async with UdpListener(by_unix_socket(path), sink, telemetry):
        with pytest.raises(SettingsError, match=refusal):
            async with UdpListener(by_unix_socket(path), sink, telemetry):
                pass
        send_by(path, [GOOD % 1])
        await until(lambda: sink.events == 1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(str(other))
        stream.listen()
        with pytest.raises(SettingsError, match=refusal):
            async with UdpListener(by_unix_socket(other), sink, telemetry):
                pass

    assert other.is_socket()


async def test_large_unix_datagram_is_refused_whole(sink, telemetry, tmp_path: Path) -> None:
    """One above the size of any UDP datagram is not cut, which could change its last line."""
    path = tmp_path / "dsd.socket"
    line, size = b"orders:1|c\n", DATAGRAM_BYTES
    fits = (b"fits:1|c\n" * size)[: size - size % 9]
    async with UdpListener(by_unix_socket(path), sink, telemetry):
        await asyncio.to_thread(send_by, path, [line * (size // len(line) + 1), fits, GOOD % 1])
        await until(lambda: counted(telemetry, "ingest_datagrams_total") == 3)

    found: Counter[str] = Counter()
    for metric in (metric for batch in sink.batches for metric in batch.metrics):
        found[metric.name] += int(metric.value)
    labels = {"protocol": "udp", "reason": "item_too_large"}
    assert found == {"fits": size // 9, "queue.depth": 1}
    assert counted(telemetry, "ingest_rejected_events_total", **labels) == 1


def free_port(port: int = 0) -> int:
    """Return a port that nobody has; a given one if it is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))
        return int(sock.getsockname()[1])


def by_unix_socket(path: Path) -> Ingest:
    return msgspec.structs.replace(ingest(), statsd_socket=path)


def send_by(path: Path, datagrams: list[bytes]) -> None:
    """Send to a unix socket, waiting whenever it is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        for datagram in datagrams:
            sock.send(datagram)


async def test_it_never_answers(sink, telemetry) -> None:
    """Neither a good nor a bad datagram gets anything back."""
    async with UdpListener(ingest(), sink, telemetry) as listener:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", listener.port))
            sock.setblocking(False)
            sock.send(GOOD % 1)
            sock.send(b"nonsense")
            await until(lambda: counted(telemetry, "ingest_datagrams_total") == 2)

            with pytest.raises(BlockingIOError):
                sock.recv(100)


async def test_taken_port(sink, telemetry) -> None:
    """A port in use is a mistake of the settings."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        taken = Ingest(port=sock.getsockname()[1])

        with pytest.raises(SettingsError, match=r"^ingest\.port: cannot listen on 127\.0\.0\.1:"):
            async with UdpListener(taken, sink, telemetry):
                pass


def test_drops_are_unknown_without_the_tables(tmp_path, monkeypatch) -> None:
    """Where the kernel tells nothing, the answer is unknown, not zero."""
    monkeypatch.setattr(kernel, "TABLES", (tmp_path / "udp", tmp_path / "udp6"))

    assert kernel.dropped(["1"]) is None
    (tmp_path / "udp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
        "  timeout inode ref pointer drops\n"
        "  1: 0100007F:23A5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0"
        "        0 4711 2 0000000000000000 17\n"
    )
    assert kernel.dropped(["4711"]) == 17
    assert kernel.dropped(["4711", "4712"]) is None


async def test_unknown_drops_are_absent(sink, telemetry, tmp_path, monkeypatch) -> None:
    """Where the kernel tells nothing, the metric is not there, rather than there as zero."""
    name, tables = "monitord_ingest_udp_kernel_drops", kernel.TABLES
    monkeypatch.setattr(kernel, "TABLES", (tmp_path / "udp", tmp_path / "udp6"))
    async with UdpListener(ingest(), sink, telemetry) as listener:
        unread = telemetry.registry.get_sample_value(name)
        monkeypatch.setattr(kernel, "TABLES", tables)
        listener.read_drops()

    assert unread is None
    assert telemetry.registry.get_sample_value(name) == 0
    assert telemetry.total(name) == 0
