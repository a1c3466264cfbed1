"""monitord itself: its sums add up whenever they are read, and no loss is silent."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from msgspec import structs

from monitord import settings
from monitord.http.facts import Fact
from monitord.http.itself import Itself, itself
from monitord.http.ledgers import Term
from monitord.http.ports import Ports
from monitord.ingest.http import IngestServer
from monitord.ingest.udp import UdpListener
from monitord.intake.dead_letters import DeadLetterFile
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import Spool, SpoolLimits, open_spool
from monitord.intake.spool_metrics import SpoolMetrics
from monitord.model import Annotation, Batch, Log, Metric, Request, Span
from monitord.service import running
from monitord.store.pool import Store, open_pool
from monitord.store.size_cap import StoreSize
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry
from tests.http.conftest import WRITER, Serve, Served


EXACT: dict[str, float | None] = {"decoded": 0, "kept": 0}


TABLES = ("endpoints", "loggers", "span_names", "series")


def off(found: Itself) -> dict[str, float | None]:
    """Return by how much each ledger that must add up does not."""
    return {one.id: one.difference for one in found.ledgers if one.adds_up is not None}


def term(found: Itself, name: str) -> Term:
    sides = [side for one in found.ledgers for side in (one.left, one.right)]
    return next(each for side in sides for each in side.terms if each.name == name)


def fact(found: Itself, part: str, name: str) -> Fact:
    facts = next(one.facts for one in found.panels if one.id == part)
    return next(one for one in facts if one.id == name)


def body(number: int, rng: random.Random) -> bytes:
    """Return events as an application sends them: some again, some of no type that is known."""
    at, lines = time.time(), []
    for _ in range(number):
        event: dict[str, Any] = {"type": "log", "service": "shop", "level": "INFO", "message": "m"}
        kind = rng.random()
        if kind < 0.3:
            event["id"] = f"again-{rng.randrange(20)}"
        elif kind < 0.5:
            event = {"type": "metric", "service": "shop", "name": "cart.size", "value": 3}
        elif kind < 0.6:
            event = {"type": "span"}
        lines.append(json.dumps({"time": at, **event}))
    return "\n".join(lines).encode()


async def post(url: str, rng: random.Random, stop: asyncio.Event) -> None:
    headers = {"Content-Type": "application/x-ndjson"}
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            async with session.post(url, data=body(40, rng), headers=headers) as answer:
                assert answer.status == 202


async def send(served: Served, port: int, rng: random.Random, stop: asyncio.Event) -> None:
    """Send datagrams, and beside them what the store refuses: events of another week."""
    telemetry = served.ports.telemetry
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not stop.is_set():
            for _ in range(20):
                sender.sendto(body(3, rng), ("127.0.0.1", port))
            late = [Log(time.time() + 9 * 86_400, "shop", "INFO", "late")]
            telemetry.events.labels("scrape", "log").inc()
            served.intake.offer(Batch(time.time(), logs=late))
            await asyncio.sleep(0.002)


async def test_sums_are_exact_under_traffic(stored: Served) -> None:
    """
    While both listeners take events, some twice, some refused, and the writer stores them, both
    sums are exact at every moment at which they are read.
    """
    rng, stop, ingest = random.Random(7), asyncio.Event(), settings.Ingest(port=0)
    telemetry, readings = stored.ports.telemetry, []
    async with (
        IngestServer(ingest, stored.intake, telemetry) as server,
        UdpListener(ingest, stored.intake, telemetry, server.senders) as udp,
        asyncio.timeout(30),
    ):
        url = f"http://127.0.0.1:{server.port}/v1/ingest"
        tasks = [
            asyncio.create_task(post(url, rng, stop)),
            asyncio.create_task(send(stored, udp.port, rng, stop)),
        ]
        while len(readings) < 300 or not readings[-1][1]:
            found = itself(stored.ports)
            waiting = term(found, "Waiting in the spool").value
            readings.append((off(found), term(found, "Duplicates").value and waiting))
            await asyncio.sleep(rng.choice((0, 0.001, 0.007)))
        stop.set()
        await asyncio.gather(*tasks)
    assert {tuple(differences.items()) for differences, _ in readings} == {tuple(EXACT.items())}

    await stored.settled()
    found = itself(stored.ports)
    assert off(found) == EXACT
    for name in ("Stored", "Duplicates", "Refused by the store", "From datagrams", "By HTTP"):
        assert (term(found, name).value or 0) > 0, name
    assert term(found, "Waiting in the spool").value == 0
    assert found.banner.state == "critical"
    assert any("refused by the store for good" in item.text for item in found.banner.items)


def with_spool(served: Served, spool: Spool) -> Ports:
    """Return the ports of a monitord that began just now with this spool."""
    telemetry = Telemetry()
    telemetry.collect_from(SpoolMetrics(spool))
    return structs.replace(served.ports, spool=spool, telemetry=telemetry)


def some_logs(count: int, **changes: Any) -> Batch:
    given = {"time": 1.0, "service": "shop", "level": "INFO", "message": "m"} | changes
    return Batch(1.0, logs=[Log(**given)] * count)


async def test_what_the_spool_refuses_is_lost_or_sent_again(served: Served, tmp_path: Path) -> None:
    """
    With a full spool, datagrams are lost and said to be; bodies are refused and come again. Both
    stand in the sum, and the spool's trouble beside it.
    """
    async with open_spool(tmp_path / "full", WRITER, SpoolLimits(spool_bytes=4_000)) as spool:
        ports = with_spool(served, spool)
        intake = Intake(spool, ports.window, ports.bus)
        ingest, telemetry, rng = settings.Ingest(port=0), ports.telemetry, random.Random(1)
        async with (
            IngestServer(ingest, intake, telemetry) as server,
            UdpListener(ingest, intake, telemetry, server.senders) as udp,
        ):
            url = f"http://127.0.0.1:{server.port}/v1/ingest"
            headers = {"Content-Type": "application/json"}
            async with aiohttp.ClientSession() as session:
                statuses = []
                for size in (5, 200, 5):
                    async with session.post(url, data=body(size, rng), headers=headers) as answer:
                        statuses.append(answer.status)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(body(200, rng), ("127.0.0.1", udp.port))
            async with asyncio.timeout(5):
                while not telemetry.total("monitord_ingest_datagrams_total"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        found = itself(ports)

    assert statuses == [202, 503, 202]
    assert off(found) == EXACT
    lost, again = (
        term(found, "Refused by it, and lost"),
        term(found, "Refused by it, and their senders told"),
    )
    assert (lost.state, again.state) == ("critical", "warning")
    assert (lost.value or 0) > 100
    assert [part.name for part in lost.parts] == ["udp"]
    assert (again.value or 0) > 100
    ledger = next(one for one in found.ledgers if one.id == "decoded")
    assert ledger.note.startswith("The spool refused because: full ")
    assert found.banner.state == "critical"


async def test_sums_are_exact_after_a_restart_over_damage(served: Served, tmp_path: Path) -> None:
    """
    What an earlier run left, among it a damaged record and an event no version knows, stands in the
    sum from the first moment, and after each frame that is read and stored.
    """
    folder = tmp_path / "left"
    async with open_spool(folder, WRITER) as spool:
        for batch in (
            some_logs(1),
            some_logs(2, level=7),
            some_logs(3, message="x" * 500),
            some_logs(4),
        ):
            spool.append(Batch(1.0, logs=[*batch.logs, *some_logs(1).logs]))
        await spool.settled()
    (segment,) = folder.glob("*.seg")
    data = segment.read_bytes()
    segment.write_bytes(data.replace(b"x" * 500, b"y" + b"x" * 499, 1))

    async with open_spool(folder, WRITER) as spool:
        ports = with_spool(served, spool)
        readings = [itself(ports)]
        while spool.backlog.frames:
            frames = await spool.next(1, 1 << 20)
            readings.append(itself(ports))
            ports.telemetry.stored.labels("log").inc(sum(len(one.batch) for one in frames))
            spool.done(frames)
            readings.append(itself(ports))

    assert len(readings) == 7
    assert [off(found) for found in readings] == [EXACT] * 7
    values = {
        name: term(readings[-1], name).value
        for name in ("Found at the start", "Stored", "Damaged on disk", "Not understood")
    }
    assert values == {
        "Found at the start": 14,
        "Stored": 8,
        "Damaged on disk": 4,
        "Not understood": 2,
    }
    assert fact(readings[-1], "spool", "aside").value == 2


async def test_unknown_is_not_zero(served: Served) -> None:
    """
    What nobody has read, measured or told yet has no value, and says why; a store that does not
    answer says since when and what it said.
    """
    found = itself(served.ports)

    unknown = {
        (part.id, one.id): one.note
        for part in found.panels
        for one in part.facts
        if one.state == "unknown"
    }
    unread = "not read before the first comes; at most 2,000 a service, 20,000 in all"
    assert unknown == {
        ("spool", "sync_last"): "nothing has been written yet",
        ("spool", "sync_max"): "nothing has been written yet",
        ("store", "size"): "not measured yet",
        **{("names", table): unread for table in TABLES[:3]},
        ("names", "series"): unread.replace("service, 20", "metric, 50"),
        ("process", "instance"): "not named in the settings",
        ("process", "cpu"): "not read yet",
        ("process", "lag"): "not read yet",
        ("process", "buffer"): "not open",
    }
    for name in ("Read", "Dropped by the kernel", "All services", "Told by emitters"):
        assert (term(found, name).value, term(found, name).state) == (None, "unknown")
        assert term(found, name).note
    up = fact(found, "store", "up")
    assert (up.value, up.note) == (served.ports.store.since, served.ports.store.detail)
    assert [item.text for item in found.banner.items] == ["Store: unreachable (connection refused)"]
    assert found.banner.items[0].since == served.ports.store.since


async def test_datagrams_that_are_switched_off_are_unknown(serve: Serve) -> None:
    """
    Without the UDP side nothing is said to have been dropped or not dropped by the kernel.
    """
    ingest = settings.Ingest(udp=settings.Udp(enabled=False))
    async with serve(ingest=ingest) as served:
        found = itself(served.ports)

    for name in ("Read", "Dropped by the kernel"):
        assert (term(found, name).value, term(found, name).note) == (None, "UDP is switched off")


async def test_a_sum_that_does_not_add_up_is_said_first(stored: Served) -> None:
    """
    When one event is counted as stored that never came, the page says by how much the sum is off.
    """
    stored.ports.telemetry.stored.labels("log").inc(3)
    stored.ports.telemetry.rejected.labels("http", "not_json").inc(5)

    found = itself(stored.ports)

    assert off(found) == {"decoded": 0, "kept": -3}
    assert (found.banner.state, found.banner.text) == (
        "critical",
        "Taken and kept: 3 events are not accounted for",
    )
    assert found.banner.items[1].text == "5 events refused at the edge (http, not_json)"
    assert found.banner.items[1].state == "warning"


async def test_a_store_that_cannot_shrink_is_critical(serve: Serve) -> None:
    """
    A store above its size that has nothing left to drop says what would mend it.
    """
    size = StoreSize(used_bytes=11 << 30, cap_bytes=10 << 30, stuck=True)
    async with serve(parts={"store_size": lambda: size}) as served:
        found = fact(itself(served.ports), "store", "size")

    assert (found.value, found.text, found.state) == (11 << 30, "11.0 GiB", "critical")
    assert "raise store.size" in found.note


async def test_scrapes_are_counted_by_target(served: Served) -> None:
    """
    Each target stands there once, with how often it was read and how that went.
    """
    telemetry = served.ports.telemetry
    for outcome, count in (("up", 8), ("down", 2), ("skipped", 1)):
        telemetry.scrapes.labels("redis", "main", outcome).inc(count)
    telemetry.scrapes.labels("postgres", "main", "up").inc(5)
    telemetry.scrape_seconds.labels("redis", "main").set(0.25)

    postgres, redis = itself(served.ports).scrapes

    assert (postgres.kind, postgres.up, postgres.last_seconds) == ("postgres", 5, None)
    assert (redis.up, redis.down, redis.held, redis.skipped) == (8, 2, 0, 1)
    assert redis.last_seconds == 0.25


async def test_as_json(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    The API says what the page shows, of the same instant, and takes no parameter.
    """
    async with browser.get(served.address("/api/v1/self")) as answer:
        found = await answer.json()
    async with browser.get(served.address("/api/v1/self?range=1h")) as refused:
        status = refused.status

    assert found["since"] == served.ports.telemetry.since <= found["generated_at"]
    assert [one["id"] for one in found["ledgers"]] == ["decoded", "kept", "datagrams", "on_the_way"]
    assert [one["adds_up"] for one in found["ledgers"]] == [True, True, None, None]
    assert [one["id"] for one in found["panels"]] == ["spool", "store", "names", "process"]
    assert status == 400


async def test_every_metric_that_is_named_exists(served: Served) -> None:
    """
    A term names its metric as `/metrics` does.
    """
    served.ports.telemetry.lost.labels("shop").inc()
    served.ports.telemetry.rejected.labels("udp", "not_json").inc()
    families = served.ports.telemetry.registry.collect()
    exposed = {family.name for family in families}

    sides = [side for one in itself(served.ports).ledgers for side in (one.left, one.right)]
    named = {each.metric for side in sides for each in side.terms if each.metric}

    assert len(named) > 12
    assert {name.removesuffix("_total") for name in named} - {"monitord.emit.dropped"} <= exposed


class Storing:
    """A monitord that stores what is offered here, under as few names as the test says."""

    def __init__(self, served: Served, spool: Spool) -> None:
        self.served = served
        self._spool = spool
        self._intake = Intake(spool, served.ports.window, served.ports.bus)

    async def store(self, **lists: Sequence[Any]) -> Itself:
        """Take these events in by HTTP, and return what is said when they are stored."""
        telemetry = self.served.ports.telemetry
        for name, events in lists.items():
            telemetry.events.labels("http", name.removesuffix("s")).inc(len(events))
        self._intake.offer(Batch(time.time(), **lists))
        async with asyncio.timeout(20):
            await self._spool.settled()
            while self._spool.backlog.events:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        return itself(self.served.ports)


OpenStoring = Callable[..., AbstractAsyncContextManager[Storing]]


@pytest.fixture
def storing(serve: Serve, database: str, tmp_path: Path) -> OpenStoring:
    """
    A way to open a Storing: `storing(per_kind=…)` are the names its store tells apart.
    """

    @asynccontextmanager
    async def opened(**names: int) -> AsyncIterator[Storing]:
        config = settings.Store(flush_every=0.01, names=settings.Names(**names))
        telemetry = Telemetry()
        chosen = settings.Settings(
            state_dir=tmp_path, store=config, web=settings.Web(port=0), targets=settings.Targets()
        )
        async with (
            open_spool(tmp_path / "own", WRITER) as spool,
            open_pool(config, database, "test", telemetry) as store,
        ):
            telemetry.collect_from(SpoolMetrics(spool))
            letters = DeadLetterFile(tmp_path / "letters.jsonl", telemetry)
            writer = Writer(store, spool, telemetry, letters, config.flush_every)
            parts = {"settings": chosen, "telemetry": telemetry, "spool": spool, "names": writer}
            await store.ready()
            async with (
                serve(parts={**parts, "store": store}) as served,
                running({"writer": writer.run()}),
            ):
                yield Storing(served, spool)

    return opened


def told(found: Itself) -> list[str]:
    """Return the sentences about names."""
    return [one.told for part in found.panels for one in part.facts if one.told]


def known(found: Itself) -> dict[str, float | None]:
    return {table: fact(found, "names", table).value for table in TABLES}


def hits(at: float, users: range, service: str = "shop") -> list[Metric]:
    """Return an increment for each user, in two zones."""
    return [
        Metric(
            at,
            "http.requests",
            1,
            kind="counter",
            service=service,
            attributes={"user_id": f"user-{user}", "zone": f"zone-{user % 2}"},
        )
        for user in users
    ]


FLOOD = (
    "series of `http.requests` (shop): 2,000 of 2,000, most by label `user_id` (2,000 values);"
    " what is beyond is counted under __overflow__"
)


async def test_a_flood_of_one_label_is_told(
    storing: OpenStoring, database: str, browser: aiohttp.ClientSession
) -> None:
    """
    A label with ever new values is named, in the banner, on the page and by the API; not one
    increment is missing, and what is beside it is told apart as before.
    """
    now = time.time()
    async with storing() as house:
        await house.store(metrics=hits(now, range(1_900)))
        calm = await house.store(metrics=hits(now, range(3), "till"))
        assert (told(calm), calm.banner.state) == ([], "ok")
        found = await house.store(metrics=hits(now + 1, range(1_500, 5_000)))
        after = await house.store(metrics=hits(now + 2, range(3, 6), "till"))
        async with browser.get(house.served.address("/itself")) as answer:
            page = (await answer.text()).partition('id="part-names"')[2]
        async with browser.get(house.served.address("/api/v1/self")) as answer:
            said = await answer.json()

    assert told(found) == [FLOOD]
    assert (found.banner.state, found.banner.text) == ("warning", FLOOD)
    assert off(found) == EXACT
    assert known(found)["series"] == 2_000 + 1 + 3
    assert known(after)["series"] == 2_000 + 1 + 6
    assert FLOOD in page
    names = next(one["facts"] for one in said["panels"] if one["id"] == "names")
    (crowd,) = [one for one in names if one["told"]]
    assert (crowd["text"], crowd["state"], crowd["told"]) == ("2,000 of 2,000", "warning", FLOOD)
    connection = await asyncpg.connect(database)
    sums = await connection.fetch(
        "SELECT service, sum(value) FROM metrics JOIN series USING (host_id, series_id)"
        " GROUP BY service ORDER BY service"
    )
    series = await connection.fetchval("SELECT count(*) FROM series")
    await connection.close()
    assert [tuple(row) for row in sums] == [("shop", 1_900 + 3_500), ("till", 6)]
    assert series == known(after)["series"]


async def test_names_below_their_caps_are_calm(storing: OpenStoring) -> None:
    """
    While there is room the page says how many names there are and could be; what never came is not
    counted as none.
    """
    now = time.time()
    async with storing() as house:
        requests = [Request(now, "shop", "GET", f"/{n}", 200, 3.0) for n in range(7)]
        logs = [Log(now, "shop", "INFO", "m", logger="shop.cart")]
        found = await house.store(requests=requests, logs=logs, metrics=hits(now, range(2)))

    assert known(found) == {"endpoints": 7, "loggers": 1, "span_names": None, "series": 2}
    assert fact(found, "names", "endpoints").note == "at most 2,000 a service, 20,000 in all"
    assert fact(found, "names", "series").note == "at most 2,000 a metric, 50,000 in all"
    assert told(found) == []
    assert (found.banner.state, off(found)) == ("ok", EXACT)


async def test_a_kind_that_is_full_in_all_is_told_once(storing: OpenStoring) -> None:
    """
    When a kind has no room at all, one sentence says so and names its largest scope; a scope that
    is full by itself has its own.
    """
    now = time.time()
    async with storing(per_kind=6, total=9) as house:
        for places in ([("shop", f"/{n}") for n in range(8)], [(f"s{n}", "/") for n in range(5)]):
            requests = [Request(now, service, "GET", route, 200, 3.0) for service, route in places]
            found = await house.store(requests=requests)

    rest = "what is beyond is counted under __overflow__"
    assert told(found) == [
        f"endpoints: 9 of 9 in all, 7 of them of shop, most by label `route` (6 values); {rest}",
        f"endpoints of shop: 6 of 6, most by label `route` (6 values); {rest}",
    ]
    assert [item.text for item in found.banner.items] == told(found)
    assert off(found) == EXACT


async def test_names_that_are_read_anew_are_unknown_meanwhile(
    storing: OpenStoring, database: str
) -> None:
    """
    While the names of the store are read, after connecting or on a new day, nothing is said of how
    many there are: those read so far are not all.
    """
    async with storing(per_kind=3) as house:
        first = await house.store(metrics=hits(time.time(), range(9)))
        store = house.served.ports.store
        assert isinstance(store, Store)
        connection = await asyncpg.connect(database)
        async with connection.transaction():
            await connection.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
            store.epoch += 1
            storing_more = asyncio.create_task(house.store(metrics=hits(time.time(), range(9))))
            async with asyncio.timeout(10):
                while known(itself(house.served.ports))["series"] is not None:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            meanwhile = itself(house.served.ports)
        again = await storing_more
        await connection.close()

    assert (told(meanwhile), known(meanwhile)["series"]) == ([], None)
    assert known(again)["series"] == known(first)["series"] == 4
    assert told(again) == told(first) != []


async def test_steps_and_annotations_stand_among_what_is_stored(storing: OpenStoring) -> None:
    """
    The sums have every type of event, steps of requests and annotations too.
    """
    now = time.time()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    steps = [Span(now, "shop", trace, f"00f067aa0ba902b{n}", f"step {n}", 3.0) for n in range(2)]
    async with storing() as house:
        found = await house.store(spans=steps, annotations=[Annotation(now, "Deployed 1.2")])

    parts = {part.name: part.value for part in term(found, "Stored").parts}
    assert parts == {"span": 2, "annotation": 1}
    assert known(found)["span_names"] == 2
    assert off(found) == EXACT


async def test_what_was_thinned_and_hidden_is_counted(serve: Serve) -> None:
    """
    How many steps were kept for their value, how many let go, and how many values were redacted;
    where redaction is switched off, that is said.
    """
    async with serve() as served:
        telemetry = served.ports.telemetry
        telemetry.spans_kept.inc(17)
        telemetry.spans_let_go.inc(11)
        telemetry.redacted_values.inc(5)
        found = itself(served.ports)
    for part, name, value in (
        ("store", "spans_kept", 17),
        ("store", "spans_let_go", 11),
        ("spool", "redacted", 5),
    ):
        one = fact(found, part, name)
        assert (one.value, one.window, one.state) == (value, "since start", "ok")

    async with serve(redact=settings.Redact(enabled=False)) as served:
        one = fact(itself(served.ports), "spool", "redacted")
    assert (one.value, one.note) == (None, "redaction is switched off")
