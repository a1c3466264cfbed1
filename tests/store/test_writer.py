"""What was sent is stored, once, whatever the database, the clock or a single row does."""

import asyncio
import contextlib
import os
import signal

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import msgspec
import pytest

from monitord import settings
from monitord.embedded import EmbeddedPostgres
from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import Batch, ErrorInfo, Frame, Log, Metric, Request, StackFrame
from monitord.store.pool import Store, open_pool
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry
from tests.frames import Waiting


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]
MakeGroups = Callable[[Sequence[Sequence[Frame]]], Any]

NOW = datetime(2026, 8, 1, 12, 30, 15, 123456, UTC).timestamp()
TRACE = "0123456789abcdef0123456789abcdef"


def request(**changes: object) -> Request:
    values: dict[str, object] = {
        "time": NOW,
        "service": "shop",
        "method": "GET",
        "route": "/orders/{id}",
        "status": 200,
        "duration_ms": 12.5,
    }
    return Request(**(values | changes))  # type: ignore[arg-type]


def frame(seq: int, writer: int = 1, **events: Sequence[object]) -> Frame:
    return Frame(writer, seq, Batch(NOW, **events))  # type: ignore[arg-type]


def counters(telemetry: Telemetry, kind: str) -> tuple[float, float]:
    """Return how many events of a type were counted as stored and as refused."""
    names = ("monitord_store_events_total", "monitord_store_refused_events_total")
    stored, refused = (
        telemetry.registry.get_sample_value(name, {"type": kind}) or 0.0 for name in names
    )
    return stored, refused


async def emptied(waiting: Waiting) -> None:
    """Return when everything in the waiting is done."""
    async with asyncio.timeout(60):
        while waiting.pending:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_request_is_stored_as_it_was(write: Write, sql: SQL) -> None:
    """
    Every column has its value, to the microsecond; an absent trace or exception is null.
    """
    error = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])
    await write(
        [
            frame(
                1,
                requests=[
                    request(trace_id=TRACE, error=error, status=500),
                    request(trace_id=TRACE, duration_ms=0.0004),
                    request(error=error, duration_ms=86_400_000),
                    request(status=404),
                ],
            )
        ]
    )

    rows = await sql.fetch(
        "SELECT at, duration_us, trace_id, error_id IS NOT NULL, status, host_id, route"
        " FROM requests JOIN endpoints USING (host_id, endpoint_id)"
        " ORDER BY duration_us, status DESC, trace_id"
    )
    at = datetime(2026, 8, 1, 12, 30, 15, 123456, UTC)
    found = [(row[0], row[1], row[2] and row[2].hex, *row[3:]) for row in rows]
    assert found == [
        (at, 0, TRACE, False, 200, 1, "/orders/{id}"),
        (at, 12_500, TRACE, True, 500, 1, "/orders/{id}"),
        (at, 12_500, None, False, 404, 1, "/orders/{id}"),
        (at, 86_400_000_000, None, True, 200, 1, "/orders/{id}"),
    ]


async def test_log_is_stored_as_it_was(write: Write, sql: SQL) -> None:
    """
    A record keeps its identity, its fields and its exception; what is absent is null.
    """
    error = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])
    full = Log(
        NOW, "shop", "ERROR", "it broke", "shop.orders", TRACE, None, None, {"a": [1, None]}, error
    )
    await write([frame(7, writer=42, logs=[full, Log(NOW, "shop", "INFO", "")])])

    first, second = await sql.fetch(
        "SELECT writer, seq, index, level, service, name, message, trace_id::text, fields, error"
        " FROM logs JOIN loggers USING (host_id, logger_id) ORDER BY index"
    )
    assert tuple(first) == (
        42,
        7,
        0,
        17,
        "shop",
        "shop.orders",
        "it broke",
        "01234567-89ab-cdef-0123-456789abcdef",
        '{"a": [1, null]}',
        '{"type": "ValueError", "frames": [{"line": 7, "path": "shop/a.py", "function": "buy"}],'
        ' "message": "no"}',
    )
    assert tuple(second) == (42, 7, 1, 9, "shop", "", "", None, None, None)


async def test_samples_of_one_moment_join(write: Write, sql: SQL) -> None:
    """
    Of one series and microsecond a gauge keeps the last value and a counter the sum, within a
    batch and across batches.
    """

    def samples(*values: float) -> list[Metric]:
        gauges = [Metric(NOW, "depth", value) for value in values]
        return gauges + [Metric(NOW, "jobs", value, kind="counter") for value in values]

    await write([frame(1, metrics=samples(1, 2, 3)), frame(2, metrics=samples(5))])
    await write([frame(3, metrics=samples(7, 4))])

    found = await sql.fetch(
        "SELECT name, value FROM metrics JOIN series USING (host_id, series_id) ORDER BY name"
    )
    assert [tuple(row) for row in found] == [("depth", 4.0), ("jobs", 22.0)]


async def test_pushed_histogram_gathers_its_minute(write: Write, sql: SQL) -> None:
    """
    Observations of a minute are one row, added to by later batches; negative ones and zero count.
    """

    def seen(second: float, *values: float) -> list[Metric]:
        return [Metric(NOW + second, "size", value, kind="histogram") for value in values]

    await write([frame(1, metrics=seen(0, 1.0, -2.0, 0.0) + seen(60, 9.0))])
    await write([frame(2, metrics=seen(5, 100.0))])

    found = await sql.fetch("SELECT at, count, sum, min, max FROM metric_histograms ORDER BY at")
    assert [tuple(row) for row in found] == [
        (datetime(2026, 8, 1, 12, 30, tzinfo=UTC), 4, 99.0, -2.0, 100.0),
        (datetime(2026, 8, 1, 12, 31, tzinfo=UTC), 1, 9.0, 9.0, 9.0),
    ]


async def test_row_takes_68_bytes(write: Write, sql: SQL) -> None:
    """
    A request with a trace and without an exception costs 68 bytes with its line pointer.
    """
    some = [request(time=NOW + n / 1e4, trace_id=f"{n:032x}") for n in range(30_000)]
    await write([frame(1, requests=some)])

    line_pointer = 4
    row = await sql.fetchval("SELECT max(pg_column_size(requests.*)) FROM requests")
    relation = await sql.fetchval("SELECT pg_relation_size('requests_20260801')")
    assert row + line_pointer == 68
    assert relation / 30_000 < 71  # page headers, and the page under way


async def test_text_the_database_cannot_hold_costs_no_row(write: Write, sql: SQL) -> None:
    """
    NUL, lone surrogates and NaN in names, messages and fields are replaced; nothing is lost.
    """
    bad = "a\0b\ud800c"
    logs = [
        Log(
            NOW, bad, "INFO", bad, bad, fields={bad: [bad, float("nan")]}, error=ErrorInfo(bad, bad)
        )
    ]
    metrics = [Metric(NOW, bad, 1.0, attributes={bad: bad})]
    await write([frame(1, requests=[request(route=bad, service=bad)], logs=logs, metrics=metrics)])

    clean = "a\ufffdb\ufffdc"
    assert await sql.fetchval("SELECT route FROM endpoints") == clean
    assert await sql.fetchval("SELECT message FROM logs") == clean
    assert await sql.fetchval("SELECT fields->$1->>0 FROM logs", clean) == clean
    assert await sql.fetchval("SELECT error->>'message' FROM logs") == clean
    assert await sql.fetchval("SELECT attributes->>$1 FROM series", clean) == clean


async def test_value_out_of_range_costs_its_row_alone(
    write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    What is no number, no status or no time is left out and counted; its neighbours are stored.
    """
    nan, inf = float("nan"), float("inf")
    bad = [
        request(duration_ms=nan),
        request(duration_ms=-1.0),
        request(duration_ms=1e18),
        request(status=99),
        request(time=inf),
        request(time=NOW + 10 * 86_400),
        request(time=0.0),
    ]
    logs = [
        Log(nan, "shop", "INFO", "x"),
        Log(NOW, "shop", "INFO", "y"),
        Log(1e20, "shop", "INFO", "z"),
    ]
    metrics = [Metric(NOW, "m", nan), Metric(NOW, "m", 1.0), Metric(inf, "m", 1.0)]
    await write([frame(1, requests=[request(), *bad, request()], logs=logs, metrics=metrics)])

    for table, kind, stored, refused in (
        ("requests", "request", 2, 7),
        ("logs", "log", 1, 2),
        ("metrics", "metric", 1, 2),
    ):
        assert len(await sql.fetch(f"TABLE {table}")) == stored
        assert counters(telemetry, kind) == (stored, refused)


async def test_refused_rows_are_found_among_thousands(
    write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Rows the database refuses are left out and counted, of each table; all others are stored.
    """
    await sql.execute("ALTER TABLE requests ADD CHECK (duration_us NOT IN (13000, 1999000))")
    await sql.execute("ALTER TABLE logs ADD CHECK (message <> 'poison')")
    await sql.execute("ALTER TABLE metrics ADD CHECK (value <> 13)")
    requests = [request(duration_ms=n) for n in range(2_000)]
    logs = [Log(NOW, "shop", "INFO", "poison" if n == 37 else "fine") for n in range(100)]
    metrics = [Metric(NOW + n, "m", n) for n in range(100)]

    await write([frame(1, requests=requests, logs=logs, metrics=metrics)])
    await write([frame(2, requests=[request()])])

    assert await sql.fetchval("SELECT count(*) FROM requests") == 1_999
    assert await sql.fetchval("SELECT count(*) FROM logs") == 99
    assert await sql.fetchval("SELECT count(*) FROM metrics") == 99
    assert counters(telemetry, "request") == (1_999, 2)
    assert counters(telemetry, "log") == (99, 1)
    assert counters(telemetry, "metric") == (99, 1)
    assert await sql.fetchval("SELECT sum(count) FROM request_rollup_deltas") == 1_999


async def test_frame_that_comes_again_is_skipped(
    write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Frames that were stored before are counted as duplicates; new ones beside them are stored.
    """
    frames = [
        frame(seq, requests=[request()], metrics=[Metric(NOW, "jobs", 1, kind="counter")])
        for seq in (1, 2, 3)
    ]
    await write(frames[:2])

    await write(frames)
    await write([frame(1, writer=2, requests=[request()])])

    assert await sql.fetchval("SELECT count(*) FROM requests") == 4
    assert await sql.fetchval("SELECT sum(count) FROM request_rollup_deltas") == 4
    assert await sql.fetchval("SELECT value FROM metrics") == 3
    assert telemetry.registry.get_sample_value("monitord_store_duplicate_events_total") == 4


async def test_partition_dropped_under_the_writer_is_made_again(
    store: Store, sql: SQL, telemetry: Telemetry, dead_letters: DeadLetterFile
) -> None:
    """
    A day that retention has dropped is made anew when an event of it still comes.
    """
    waiting = Waiting()
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
        for seq in (1, 2):
            waiting.put(frame(seq, requests=[request()]))
            await emptied(waiting)
            if seq == 1:
                await sql.execute("DROP TABLE requests_20260801")
        writer.cancel()

    assert await sql.fetchval("SELECT count(*) FROM requests") == 1
    assert counters(telemetry, "request") == (2, 0)


async def test_frames_wait_for_a_store_that_refuses(
    store: Store, sql: SQL, telemetry: Telemetry, dead_letters: DeadLetterFile
) -> None:
    """
    Without the right to write nothing is lost: the frames stay, and the store says why.
    """
    await sql.execute("ALTER TABLE requests RENAME COLUMN status TO state")
    waiting = Waiting()
    waiting.put(frame(1, requests=[request()]))
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
        async with asyncio.timeout(20):
            while store.up:  # noqa: ASYNC110 - a poll needs no hook in the product
                await asyncio.sleep(0.01)
        writer.cancel()

    assert waiting.pending == 1
    assert 'column "status" of relation "requests" does not exist' in store.detail


@pytest.mark.parametrize("kills", [3])
async def test_killed_server_costs_and_doubles_nothing(
    own_server: EmbeddedPostgres,
    config: settings.Store,
    telemetry: Telemetry,
    dead_letters: DeadLetterFile,
    kills: int,
) -> None:
    """
    While frames are written the server is killed again and again: every event is stored once.
    """
    waiting = Waiting()
    frames = [
        frame(seq, requests=[request(duration_ms=seq)] * 20, logs=[Log(NOW, "s", "INFO", f"{seq}")])
        for seq in range(1, 1_201)
    ]
    async with (
        open_pool(config, own_server.dsn(), "test", telemetry) as store,
        asyncio.TaskGroup() as group,
    ):
        writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
        for number, one in enumerate(frames):
            waiting.put(one)
            await asyncio.sleep(0.001)
            if number % (len(frames) // kills) == 200 and own_server.pid:
                os.kill(own_server.pid, signal.SIGKILL)
        await emptied(waiting)
        writer.cancel()
        async with store.connection() as sql:
            stored = await sql.fetch(
                "SELECT duration_us / 1000, count(*) FROM requests GROUP BY 1 ORDER BY 1"
            )
            logs = await sql.fetchval("SELECT count(DISTINCT seq) FROM logs")
            rolled = await sql.fetchval("SELECT sum(count) FROM request_rollup_deltas")

    assert [tuple(row) for row in stored] == [(seq, 20) for seq in range(1, 1_201)]
    assert logs == 1_200
    assert rolled == 24_000
    assert counters(telemetry, "request") == (24_000, 0)


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep(0.001); RETURN new; END $$;
CREATE TRIGGER slow BEFORE INSERT ON logs FOR EACH ROW EXECUTE FUNCTION slow();
"""


async def test_backlog_too_large_for_the_timeout_is_written_in_parts(
    database: str,
    config: settings.Store,
    telemetry: Telemetry,
    dead_letters: DeadLetterFile,
    sql: SQL,
) -> None:
    """
    What takes longer than a call may take is written in smaller transactions, each row once.
    """
    waiting = Waiting()
    for seq in range(1, 61):
        waiting.put(frame(seq, logs=[Log(NOW, "shop", "INFO", "x")] * 50))
    await sql.execute(SLOW)
    strict = msgspec.structs.replace(config, timeout=1.0)

    async with (
        open_pool(strict, database, "test", telemetry) as store,
        asyncio.TaskGroup() as group,
    ):
        writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
        await emptied(waiting)
        writer.cancel()

    assert await sql.fetchval("SELECT count(*) FROM logs") == 3_000
    assert counters(telemetry, "log") == (3_000, 0)
    assert telemetry.registry.get_sample_value("monitord_store_duplicate_events_total") == 0


async def test_frame_nobody_foresaw_costs_itself_alone(
    write: Write, sql: SQL, telemetry: Telemetry
) -> None:
    """
    A frame on which the writer itself fails is refused; all others of its drain are stored.
    """
    broken = msgspec.structs.replace(request(), route=None)

    await write([frame(seq, requests=[broken if seq == 5 else request()]) for seq in range(1, 12)])

    assert await sql.fetchval("SELECT count(*) FROM requests") == 10
    assert counters(telemetry, "request") == (10, 1)


class Half(asyncio.Protocol):
    """One side of a connection that is passed on; the server's side can fall silent."""

    def __init__(self, lose: list[int], other: "Half | None" = None) -> None:
        self.lose, self.other, self.silent = lose, other, False
        self.transport: asyncio.Transport
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self.early += data
        elif self.silent:
            self.transport.abort()
        else:
            if b"COMMIT" in data and self.lose:
                self.lose.pop()
                self.other.silent = True
            self.other.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.abort()


@contextlib.asynccontextmanager
async def losing_answers(
    server: EmbeddedPostgres, folder: Path
) -> AsyncIterator[tuple[str, list[int]]]:
    """
    Stand before a server; cut connections after a COMMIT was done and before its answer arrives.

    Yields the folder to connect to, and a list: as many COMMITs as it has items lose their answer.
    """
    host = parse_qs(urlsplit(server.dsn()).query)["host"][0]
    loop = asyncio.get_running_loop()
    lose: list[int] = []
    dialling: set[asyncio.Task[None]] = set()

    async def dial(client: Half) -> None:
        _, behind = await loop.create_unix_connection(
            lambda: Half([], client), f"{host}/.s.PGSQL.5432"
        )
        client.other = behind
        behind.transport.write(client.early)

    def accept() -> Half:
        client = Half(lose)
        dialling.add(loop.create_task(dial(client)))
        return client

    listener = await loop.create_unix_server(accept, folder / ".s.PGSQL.5432")
    yield str(folder), lose
    listener.close()
    await asyncio.gather(*dialling)


async def test_commit_whose_answer_was_lost_is_recognised(
    postgres_server: EmbeddedPostgres,
    database: str,
    config: settings.Store,
    telemetry: Telemetry,
    dead_letters: DeadLetterFile,
    tmp_path: Path,
) -> None:
    """
    When the connection is cut after a commit and before its answer, the retry adds nothing.
    """
    waiting = Waiting()
    async with losing_answers(postgres_server, tmp_path) as (folder, lose):
        dsn = f"postgresql://postgres@{urlsplit(database).path}?host={folder}"
        async with open_pool(config, dsn, "test", telemetry) as store, asyncio.TaskGroup() as group:
            await store.ready()
            writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
            waiting.put(frame(1, requests=[request()]))
            await emptied(waiting)
            for seq in (2, 3, 4):
                lose.append(seq)
                waiting.put(frame(seq, requests=[request()] * seq))
                await emptied(waiting)
            # The retries are smaller than what was committed: the rest was not sent twice either.
            lose.append(5)
            for seq in (5, 6, 7, 8):
                waiting.put(frame(seq, requests=[request()]))
            await emptied(waiting)
            writer.cancel()
            async with store.connection() as sql:
                stored = await sql.fetchval("SELECT count(*) FROM requests")
                rolled = await sql.fetchval("SELECT sum(count) FROM request_rollup_deltas")

    assert (stored, rolled, lose) == (14, 14, [])
    assert telemetry.registry.get_sample_value("monitord_store_failures_total") == 4
    assert telemetry.registry.get_sample_value("monitord_store_duplicate_events_total") == 0
    assert counters(telemetry, "request") == (14, 0)


async def test_lost_answer_of_frames_out_of_order_counts_what_it_did(
    postgres_server: EmbeddedPostgres,
    database: str,
    config: settings.Store,
    telemetry: Telemetry,
    dead_letters: DeadLetterFile,
    tmp_path: Path,
    groups: MakeGroups,
) -> None:
    """
    After a commit without an answer, rows it refused or left out as duplicates are counted so,
    and frames of an earlier run that were replayed are told from our own.
    """
    late = frame(7, requests=[request(id="a"), request(status=99), request(id="a"), request()])
    replayed = frame(3, writer=9, requests=[request()] * 2)
    async with losing_answers(postgres_server, tmp_path) as (folder, lose):
        dsn = f"postgresql://postgres@{urlsplit(database).path}?host={folder}"
        async with open_pool(config, dsn, "test", telemetry) as store, asyncio.TaskGroup() as group:
            await store.ready()
            for some in ([[replayed]], [[late, replayed, frame(2, requests=[request()])]]):
                source = groups(some)
                if late in some[0]:
                    lose.append(1)
                writer = group.create_task(
                    Writer(store, source, telemetry, dead_letters, 0.0).run()
                )
                async with asyncio.timeout(60):
                    await source.finished.wait()
                writer.cancel()
            async with store.connection() as sql:
                stored = await sql.fetchval("SELECT count(*) FROM requests")

    assert (stored, lose) == (5, [])
    assert counters(telemetry, "request") == (5, 1)
    assert telemetry.registry.get_sample_value("monitord_store_duplicate_events_total") == 3
    assert len((tmp_path / "dead_letters.jsonl").read_text().splitlines()) == 1
