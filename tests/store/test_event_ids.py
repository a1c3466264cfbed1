"""An id, or a key of a whole request, is stored once in 24 hours, in rows and in rollups."""

import asyncio

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from monitord.model import Batch, Frame, Log, Metric, Request
from monitord.store import apply as applying
from monitord.store.apply import apply
from monitord.store.dictionaries import Dictionaries
from monitord.store.drain import prepare
from monitord.store.event_ids import key_of
from monitord.store.halving import at_once
from monitord.store.partitions import Partitions
from monitord.store.pool import Store
from monitord.telemetry import Telemetry


SQL = asyncpg.Connection
Event = Request | Log | Metric
WriteGroups = Callable[[Sequence[Sequence[Frame]]], Awaitable[None]]

MIDNIGHT = datetime(2026, 8, 2, tzinfo=UTC).timestamp()
HOUR = 3_600.0
MICROSECOND = 1e-6


def request(id: str | None = None, **changes: object) -> Request:
    whole = Request(MIDNIGHT, "shop", "GET", "/", 200, 1.0, id=id)
    return msgspec.structs.replace(whole, **changes)


def frame(seq: int, *events: Event, at: float = MIDNIGHT, key: str = "", run: int = 1) -> Frame:
    return Frame(
        run,
        seq,
        Batch(
            at,
            requests=[one for one in events if isinstance(one, Request)],
            logs=[one for one in events if isinstance(one, Log)],
            metrics=[one for one in events if isinstance(one, Metric)],
            idempotency_key=key,
        ),
    )


def duplicates(telemetry: Telemetry) -> float:
    found = telemetry.registry.get_sample_value("monitord_store_duplicate_events_total")
    return found or 0.0


async def count(sql: SQL, table: str) -> int:
    return int(await sql.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - our own names


async def rolled(sql: SQL) -> int:
    return int(await sql.fetchval("SELECT coalesce(sum(count), 0) FROM request_rollup_deltas"))


async def test_second_of_an_id_is_left_out_everywhere(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Of each type the second event of an id is in no row and no rollup, and is counted.
    """
    log = Log(MIDNIGHT, "shop", "INFO", "x", id="1")
    counter = Metric(MIDNIGHT, "jobs", 1, "shop", "counter", id="1")
    whole = [request("1"), log, counter]

    await write_groups([[frame(1, *whole, request())], [frame(2, request("2"), *whole)]])

    assert [await count(sql, table) for table in ("requests", "logs", "metrics")] == [3, 1, 1]
    assert await rolled(sql) == 3
    assert await sql.fetchval("SELECT value FROM metrics") == 1
    assert duplicates(telemetry) == 3


async def test_one_drain_may_hold_an_id_twice(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Within a frame, and within a group of frames, the first event of an id is the one stored.
    """
    first, second = request("1", duration_ms=1.0), request("1", duration_ms=2.0)

    await write_groups([[frame(1, first, second), frame(2, second), frame(3, request("2"))]])

    assert await sql.fetchval("SELECT array_agg(duration_us) FROM requests") == [1_000, 1_000]
    assert await rolled(sql) == 2
    assert duplicates(telemetry) == 2


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "stored"),
    [
        (MIDNIGHT - MICROSECOND, MIDNIGHT, 1),
        (MIDNIGHT - HOUR, MIDNIGHT + 22 * HOUR, 1),
        (MIDNIGHT, MIDNIGHT + 24 * HOUR - 0.001, 1),
        (MIDNIGHT, MIDNIGHT + 24 * HOUR, 2),
        (MIDNIGHT - HOUR, MIDNIGHT + 23 * HOUR, 2),
    ],
)
async def test_day_ends_no_window(
    write_groups: WriteGroups, sql: SQL, first: float, second: float, stored: int, together: bool
) -> None:
    """
    An id counts for 24 hours of the frames' arrival across midnight, whichever of the frames is
    applied first, in one transaction or two.
    """
    forwards = [frame(1, request("a"), at=first), frame(2, request("a"), at=second)]
    backwards = [frame(4, request("b"), at=second), frame(3, request("b"), at=first)]
    groups = [forwards, backwards]

    await write_groups(groups if together else [[one] for some in groups for one in some])

    assert await count(sql, "requests") == await rolled(sql) == 2 * stored


async def test_window_begins_with_what_was_stored(write_groups: WriteGroups, sql: SQL) -> None:
    """
    A duplicate does not make the window longer: sent every 20 hours, an id is stored every other
    time.
    """
    await write_groups([[frame(n, request("a"), at=MIDNIGHT + n * 20 * HOUR)] for n in range(1, 7)])

    assert await count(sql, "requests") == 3


async def test_id_is_of_its_type_and_service(write_groups: WriteGroups, sql: SQL) -> None:
    """
    Services, and types of events, do not share their ids; neither do texts that join to one.
    """
    services = [request("1"), request("1", service="bank"), request("p1", service="sho")]
    await write_groups([[frame(1, *services, Log(MIDNIGHT, "shop", "INFO", "x", id="1"))]])

    assert (await count(sql, "requests"), await count(sql, "logs")) == (3, 1)
    assert key_of("request", "shop", "1") != key_of("request", "sho", "p1")


async def test_replayed_frame_is_no_duplicate_by_its_ids(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    A frame that comes again meets the ledger first: its events are counted once each.
    """
    one = frame(1, request("1"), request("1"), request(), key="k")

    await write_groups([[one]])
    await write_groups([[one, frame(2, request("2"))]])

    assert await count(sql, "requests") == 3
    assert duplicates(telemetry) == 1 + 3


async def test_refused_row_leaves_no_id(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    An event that was refused, before or by the database, may be sent again under its id.
    """
    await sql.execute("ALTER TABLE requests ADD CHECK (duration_us <> 13000)")
    bad = [request("1", duration_ms=13.0), request("2", status=99)]
    mended = [request("1"), request("2")]

    await write_groups([[frame(1, *bad, request("3"))], [frame(2, *mended, request("3"))]])

    assert await count(sql, "requests") == await rolled(sql) == 3
    assert await count(sql, "event_ids") == 3
    assert duplicates(telemetry) == 1


@pytest.mark.parametrize("apart", [False, True])
async def test_refused_event_gives_way_to_the_next_of_its_id(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry, apart: bool
) -> None:
    """
    Of several events of one id in one transaction the first that the database takes is stored; the
    refused ones before it are dead letters, and only those after it are duplicates.
    """
    await sql.execute("ALTER TABLE requests ADD CHECK (duration_us NOT IN (13000, 14000))")
    took_ms = [13.0, 14.0, 1.0, 2.0, 13.0]
    events = [request("1", duration_ms=one) for one in took_ms]
    others = [request(duration_ms=13.0), request("2"), request("2"), request()]
    frames = [frame(n, one) for n, one in enumerate(events, 1)] if apart else [frame(1, *events)]

    await write_groups([[*frames, frame(9, *others)]])

    stored = await sql.fetchval("SELECT array_agg(duration_us ORDER BY duration_us) FROM requests")
    assert stored == [1_000, 1_000, 1_000]
    assert await rolled(sql) == 3
    assert await count(sql, "event_ids") == 2
    assert telemetry.total("monitord_dead_letters_total") == 3
    assert telemetry.total("monitord_store_refused_events_total") == 3
    assert duplicates(telemetry) == 3


async def test_flood_of_refused_events_of_one_id_ends(
    write_groups: WriteGroups,
    sql: SQL,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    Of an id under which too much is refused nothing more is tried: the rest are dead letters too.
    """
    monkeypatch.setattr(applying, "ATTEMPTS", 2)
    await sql.execute("ALTER TABLE requests ADD CHECK (duration_us <> 13000)")
    bad = [request("1", duration_ms=13.0) for _ in range(5)]

    await write_groups([[frame(1, *bad, request("1"), request("2"), request("2"))]])

    assert await count(sql, "requests") == await rolled(sql) == 1
    assert telemetry.total("monitord_dead_letters_total") == 6
    assert telemetry.total("monitord_store_refused_events_total") == 6
    assert duplicates(telemetry) == 1


async def test_log_and_sample_that_are_refused_give_way_too(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    It is so for events of every type, of each by itself.
    """
    await sql.execute("ALTER TABLE logs ADD CHECK (message <> 'bad')")
    await sql.execute("ALTER TABLE metrics ADD CHECK (value <> 13)")
    logs = [Log(MIDNIGHT, "shop", "INFO", text, id="1") for text in ("bad", "good", "bad")]
    samples = [Metric(MIDNIGHT, "jobs", value, "shop", "counter", id="1") for value in (13, 2, 4)]

    await write_groups([[frame(1, *logs, *samples, request("1"), request("1"))]])

    assert await sql.fetchval("SELECT array_agg(message) FROM logs") == ["good"]
    assert await sql.fetchval("SELECT array_agg(value) FROM metrics") == [2]
    assert await count(sql, "requests") == await rolled(sql) == 1
    assert telemetry.total("monitord_dead_letters_total") == 2
    assert duplicates(telemetry) == 3


async def test_key_stands_for_the_whole_request(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    A second frame of a key is left out with all its events, those that could not be stored too,
    and the ids in it claim nothing; after a day the key is free again.
    """
    log = Log(MIDNIGHT, "shop", "INFO", "x")
    again = frame(2, request("new"), request(status=99), log, key="k", run=2)

    await write_groups([[frame(1, request(), key="k")], [again, frame(3, request("new"))]])
    await write_groups([[frame(4, request(), key="k", at=MIDNIGHT + 24 * HOUR)]])

    assert (await count(sql, "requests"), await count(sql, "logs")) == (3, 0)
    assert duplicates(telemetry) == 3
    refused = telemetry.registry.get_sample_value(
        "monitord_store_refused_events_total", {"type": "request"}
    )
    assert refused == 0


async def test_key_is_no_id(write_groups: WriteGroups, sql: SQL) -> None:
    """
    A request's key and an event's id of the same text do not meet.
    """
    await write_groups([[frame(1, request("k"), key="k"), frame(2, request(), key="1")]])
    await write_groups([[frame(3, request("1"))]])

    assert await count(sql, "requests") == 3


async def test_id_in_an_open_transaction_is_waited_for(
    write_groups: WriteGroups, store: Store, sql: SQL, database: str, telemetry: Telemetry
) -> None:
    """
    While another transaction has an id on its way, of another run and on the other side of
    midnight, nobody decides about it; what then happens depends on how that one ends.
    """
    zombie = await asyncpg.connect(database)
    for number, (end, stored) in enumerate((("ROLLBACK", 1), ("COMMIT", 1)), 1):
        theirs = frame(number, request(end), at=MIDNIGHT - HOUR)
        drain = await prepare([theirs], Dictionaries(store), store.host_id)
        for table, days in drain.periods().items():
            await Partitions(store).ensure(table, days)
        await zombie.execute("BEGIN")
        await apply(zombie, drain, store.host_id, 86_400.0, at_once)
        ours = frame(number, request(end), at=MIDNIGHT + HOUR, run=2)
        writing = asyncio.create_task(write_groups([[ours]]))
        async with asyncio.timeout(10):
            while not await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not writing.done()
                await asyncio.sleep(0.01)
        await zombie.execute(end)
        await writing

        assert await count(sql, "requests") == number * stored

    assert duplicates(telemetry) == 1
    await zombie.close()


async def test_events_without_id_ask_nothing(write_groups: WriteGroups, sql: SQL) -> None:
    """
    Where nothing has an id, no table of ids is touched nor made.
    """
    await write_groups([[frame(1, request(), request())]])

    made = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_ids'::regclass"
    assert await sql.fetchval(made) == 0
