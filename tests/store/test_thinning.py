"""Spans on a real database: all for a while, then whole traces by their worth, and counted."""

import asyncio
import contextlib
import itertools
import time
import uuid

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime

import asyncpg
import pytest

from monitord import settings
from monitord.errors import StoreError, StoreUnreachable
from monitord.model import Batch, Frame, Request, Span
from monitord.store.dropping import Dropper
from monitord.store.partitions import Partitions, hour_of, name_of
from monitord.store.pool import Store
from monitord.store.retention import Keeper
from monitord.store.size_cap import SizeCap
from monitord.store.thinning import HOUR, LATEST_SECONDS, MINUTE, Thinner, flag
from monitord.telemetry import Telemetry
from tests.frames import Waiting


SQL = asyncpg.Connection
Write = Callable[..., Awaitable[None]]
Thin = Callable[..., Thinner]

AT = datetime(2026, 8, 1, 12, tzinfo=UTC)
NOON = AT.timestamp()
KEEP_ALL = 3_600.0
# Then the hour that begins at NOON is due.
DUE = NOON + 3_600 + KEEP_ALL + LATEST_SECONDS

SEQS = itertools.count(1)


async def at_once(_seconds: float) -> None:
    """Wait for nothing, but let others run."""
    await asyncio.sleep(0)


@pytest.fixture
def waiting() -> Waiting:
    """
    What is known to be pending.
    """
    return Waiting()


@pytest.fixture
def thinner(store: Store, waiting: Waiting, telemetry: Telemetry) -> Thin:
    """
    Make a thinner, of the slowest trace and of no share of the others unless told otherwise.
    """

    def made(on: Store = store, slowest: int = 1, share_percent: int = 0) -> Thinner:
        config = settings.Spans(keep_all=KEEP_ALL, slowest=slowest, share_percent=share_percent)
        return Thinner(on, config, waiting, telemetry, at_once)

    return made


@pytest.fixture
def put(write: Callable[[Sequence[Frame]], Awaitable[None]]) -> Write:
    """
    Store spans and requests as the daemon does.
    """

    async def written(
        spans: Sequence[Span], requests: Sequence[Request] = (), at: float = NOON
    ) -> None:
        await write([Frame(1, next(SEQS), Batch(at, requests=requests, spans=spans))])

    return written


def trace(name: str) -> str:
    """Return the trace id of a name."""
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex


def span(of: str, at: float = NOON + 60, **changes: object) -> Span:
    values: dict[str, object] = {
        "time": at,
        "service": "shop",
        "trace_id": trace(of),
        "span_id": uuid.uuid4().hex[:16],
        "name": "SELECT",
        "duration_ms": 1.0,
        "parent_id": "00000000000000ff",
    }
    return Span(**(values | changes))  # type: ignore[arg-type]


def request(
    of: str, duration_ms: float = 1.0, status: int = 200, route: str = "/", at: float = NOON + 60
) -> Request:
    return Request(at, "shop", "GET", route, status, duration_ms, trace_id=trace(of))


async def spans_of(sql: SQL, *names: str, table: str = "span_rows") -> dict[str, int]:
    """Return how many spans there are of each of these traces that has any."""
    rows = await sql.fetch(f"SELECT trace_id, count(*) FROM {table} GROUP BY 1")  # noqa: S608
    counts = {row["trace_id"].hex: row["count"] for row in rows}
    return {name: counts[trace(name)] for name in names if trace(name) in counts}


async def numbers(sql: SQL) -> tuple[int, int]:
    """Return how many spans were kept and let go, as the store says."""
    row = await sql.fetchrow("SELECT sum(kept)::int8, sum(let_go)::int8 FROM span_thinnings")
    return tuple(row)


async def fresh(sql: SQL) -> list[str]:
    """Return the names of the hours that are fresh or closed."""
    rows = await sql.fetch(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid"
        " WHERE inhparent IN ('fresh_spans'::regclass, 'fresh_spans_closed'::regclass)"
        " ORDER BY 1"
    )
    return [row["relname"] for row in rows]


async def test_value_is_kept_whole_and_the_rest_is_counted(
    put: Write, thinner: Thin, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Errors of spans or requests and the slowest are kept with all their spans; others go, counted.
    """
    error = ("span error", "request error")
    names = (*error, "slow /", "quick /", "slow /b", "quick /b", "no request", "quick root")
    await put(
        [
            *(span(name) for name in names for _ in range(3)),
            span("span error", status="error"),
            span("no request", parent_id=None, duration_ms=50),
            span("quick root", parent_id=None, duration_ms=40),
            # Its request tells its worth: as a root it would be slower than "no request".
            span("quick /", parent_id=None, duration_ms=90),
        ],
        [
            request("request error", status=503),
            request("slow /", 20),
            request("quick /", 19),
            request("slow /b", 2, route="/b"),
            request("quick /b", 1, route="/b"),
        ],
    )
    assert await spans_of(sql, *names, table="spans") == {}

    await thinner().thin(DUE)

    left = {"span error": 4, "request error": 3, "slow /": 3, "slow /b": 3, "no request": 4}
    assert await spans_of(sql, *names) == left
    assert await spans_of(sql, *names, table="spans") == left
    assert await numbers(sql) == (17, 28 - 17)
    value = telemetry.registry.get_sample_value
    assert value("monitord_spans_kept_total") == 17
    assert value("monitord_spans_let_go_total") == 11
    assert await fresh(sql) == []
    assert await sql.fetchval("SELECT count(*) FROM flagged_traces") == 0


async def test_the_slowest_are_of_each_minute(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    A quick trace of a calm minute is kept where a slower one of a busy minute is not.
    """
    calm = {"a": (NOON, 1.0), "b": (NOON, 2.0), "c": (NOON + 59.999, 3.0)}
    busy = {"d": (NOON + 60, 20.0), "e": (NOON + 60, 30.0), "f": (NOON + 119, 40.0)}
    both = calm | busy
    await put(
        [span(name, at) for name, (at, _) in both.items()],
        [request(name, duration_ms, at=at) for name, (at, duration_ms) in both.items()],
    )

    await thinner(slowest=2).thin(DUE)

    assert set(await spans_of(sql, *both)) == {"b", "c", "e", "f"}


async def test_everything_stays_until_nothing_more_can_come(
    put: Write, thinner: Thin, waiting: Waiting, sql: SQL
) -> None:
    """
    An hour is left alone for `keep_all`, an event's longest way, and as long as a frame waits.
    """
    await put([span("a"), span("b", NOON + 3_700)])
    hours = [name_of("fresh_spans", AT + ahead * HOUR) for ahead in (0, 1)]

    await thinner().thin(DUE - 1)
    waiting.put(Frame(1, 999, Batch(DUE - 1)))
    await thinner().thin(DUE + 86_400)
    assert await fresh(sql) == hours

    waiting.done(await waiting.next(1, 1))
    await thinner().thin(DUE)
    assert await fresh(sql) == hours[1:]


async def test_trace_over_two_hours_is_kept_in_both(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    What makes a trace worth keeping may be in the hour before or in the one after.
    """
    early, late = NOON + 3_599, NOON + 3_601
    await put([span("error first", early, status="error"), span("error first", late)])
    await put([span("error last", early), span("error last", late, status="error")])
    await put([span("slow", early), span("slow", late)], [request("slow", at=late)])
    await put([span("neither", early), span("neither", late)])

    await thinner().thin(DUE)
    await thinner().thin(DUE + 3_600)

    kept = {"error first": 2, "error last": 2, "slow": 2}
    assert await spans_of(sql, *kept, "neither", table="spans") == kept
    assert await numbers(sql) == (6, 2)


async def test_late_spans_are_thinned_in_their_turn(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    Spans of an hour that was thinned go into it anew, and by the same rules; the numbers add up.
    """
    await put([span("slow"), span("quick")], [request("slow", 9), request("quick", 8)])
    await thinner().thin(DUE)

    await put([span("slow"), span("quick"), span("new", status="error"), span("new")])
    assert await spans_of(sql, "slow", "quick", "new") == {"slow": 2, "quick": 1, "new": 2}
    await thinner().thin(DUE)

    assert await spans_of(sql, "slow", "quick", "new", table="spans") == {"slow": 2, "new": 2}
    assert await numbers(sql) == (4, 2)
    assert await fresh(sql) == []


async def test_share_is_the_same_for_all(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    Of what is nothing special a share stays: the same traces in every hour, and none in part.
    """
    names = [f"trace {number}" for number in range(400)]
    for hour in (0, 1):
        at = NOON + hour * 3_600 + 60
        await put([span(name, at) for name in names for _ in range(2)])

    await thinner(slowest=0, share_percent=10).thin(DUE)
    first = set(await spans_of(sql, *names, table="spans"))
    await thinner(slowest=0, share_percent=10).thin(DUE + 3_600)

    kept = await spans_of(sql, *names, table="spans")
    assert set(kept) == first
    assert set(kept.values()) == {4}
    # These very traces, so it is no matter of luck; the share would be 40.
    assert 20 < len(kept) < 60
    assert await numbers(sql) == (4 * len(kept), 4 * (400 - len(kept)))


async def test_all_are_kept_by_a_share_of_100(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    Who wants every span says so.
    """
    names = [f"trace {number}" for number in range(200)]
    await put([span(name) for name in names])

    await thinner(slowest=0, share_percent=100).thin(DUE)

    assert await spans_of(sql, *names, table="spans") == dict.fromkeys(names, 1)
    assert await numbers(sql) == (200, 0)


async def test_every_column_moves(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    A span that is kept is what it was.
    """
    await put([span("a", status="error", kind="client", attributes={"rows": 1}), span("a")])
    before = await sql.fetch("SELECT * FROM span_rows ORDER BY span_id")

    await thinner().thin(DUE)

    assert await sql.fetch("SELECT * FROM spans ORDER BY span_id") == before


class Crash(Exception):
    """Ends a thinner where a `kill -9` would."""


class CrashingStore:
    """A store on which so many transactions are made; the next one comes to nothing."""

    def __init__(self, store: Store, transactions: int) -> None:
        self._store = store
        self._left = transactions

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        if self._left < 0:
            raise Crash
        async with self._store.transaction() as connection:
            yield connection
            self._left -= 1
            if self._left < 0:
                raise Crash


# The closing, `spans`' own day, 4 indexes, the 180 minutes that are flagged, the 60 that are moved,
# the drop.
STEPS = [0, 1, 5, 6, 95, 185, 186, 187, 215, 245, 246]


@pytest.mark.parametrize("steps", STEPS)
async def test_crash_anywhere_leaves_every_span_once(
    put: Write, thinner: Thin, store: Store, sql: SQL, steps: int
) -> None:
    """
    Wherever a thinner ends, each span is there once or counted, and the next one goes on.
    """
    await put([span("error", NOON + at, status="error") for at in range(0, 3_600, 20)])
    await put([span("rest", NOON + at) for at in range(0, 3_600, 20)])

    with pytest.raises(Crash):
        await thinner(CrashingStore(store, steps)).thin(DUE)
    left = await spans_of(sql, "error", "rest")
    assert left["error"] == 180
    let_go = (await numbers(sql))[1] or 0
    assert left.get("rest", 0) + let_go == 180

    await thinner().thin(DUE)

    assert await spans_of(sql, "error", "rest", table="spans") == {"error": 180}
    assert await numbers(sql) == (180, 180)
    assert await fresh(sql) == []
    assert await sql.fetchval("SELECT count(*) FROM span_thinning_marks") == 0


async def test_hour_without_spans_costs_nothing(thinner: Thin, store: Store, sql: SQL) -> None:
    """
    Where nothing is sent an hour is closed and dropped, and nothing is looked for in it.
    """
    await Partitions(store).ensure("fresh_spans", [AT])

    await thinner(CrashingStore(store, 2)).thin(DUE)

    assert await fresh(sql) == []
    assert await sql.fetchval("SELECT count(*) FROM span_thinning_marks") == 0


async def test_two_daemons_thin_an_hour_once(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    Of several that thin at the same time each span is counted by one.
    """
    await put([span("error", NOON + at, status="error") for at in range(0, 3_600, 60)])
    await put([span("rest", NOON + at) for at in range(0, 3_600, 60)])

    await asyncio.gather(*(thinner().thin(DUE) for _ in range(2)), return_exceptions=True)
    await thinner().thin(DUE)

    assert await spans_of(sql, "error", "rest") == {"error": 60}
    assert await numbers(sql) == (60, 60)


@pytest.mark.parametrize("table", ["fresh_spans", "span_rows"])
async def test_reader_is_waited_for(put: Write, thinner: Thin, sql: SQL, table: str) -> None:
    """
    While somebody reads the hour stays, and spans of it are stored; then it is thinned.
    """
    await put([span("rest")])
    async with sql.transaction():
        await sql.fetch(f"SELECT * FROM {table}")  # noqa: S608

        await thinner().thin(DUE)
        await put([span("rest")])
    assert await spans_of(sql, "rest") == {"rest": 2}

    await thinner().thin(DUE)

    assert await numbers(sql) == (0, 2)


async def test_an_hour_that_fails_holds_up_no_other(
    put: Write, thinner: Thin, store: Store, sql: SQL
) -> None:
    """
    The others are thinned, what failed is raised, and tried again the next time.
    """
    await put([span("rest"), span("rest", NOON + 3_700)])
    closed = name_of("fresh_spans_closed", AT)
    await sql.execute(f"CREATE TABLE {closed} ()")  # somebody's, in the way

    with pytest.raises(StoreError, match="already exists"):
        await thinner().thin(DUE + 3_600)
    assert await fresh(sql) == [name_of("fresh_spans", AT)]

    await sql.execute(f"DROP TABLE {closed}")
    await thinner().thin(DUE + 3_600)
    assert await numbers(sql) == (0, 2)


async def test_wrong_clock_thins_nothing(put: Write, thinner: Thin, sql: SQL) -> None:
    """
    An hour is over only when the server's clock says so too.
    """
    now = (await sql.fetchval("SELECT clock_timestamp()")).timestamp()
    await put([span("a", now)], at=now)

    await thinner().thin(now + 365 * 86_400)

    assert await fresh(sql) == [name_of("fresh_spans", hour_of(now))]


# What takes too long for one statement is too much of it: so long for each row.
SLOW = """
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION dawdle();
"""


@pytest.mark.parametrize("table", ["spans", "flagged_traces"])
async def test_a_minute_that_takes_too_long_is_done_in_parts(
    put: Write, thinner: Thin, sql: SQL, table: str
) -> None:
    """
    A minute that the store has no answer about in time is halved until it has.
    """
    names = [f"trace {number}" for number in range(12)]
    errors = [span(name, NOON + 60 + 5 * n, status="error") for n, name in enumerate(names)]
    await put(errors)
    # The store's timeout is 5 s.
    await sql.execute(SLOW.format(table=table, seconds=0.7))

    await thinner().thin(DUE)

    assert await spans_of(sql, *names, table="spans") == dict.fromkeys(names, 1)
    assert await numbers(sql) == (12, 0)
    assert await fresh(sql) == []


async def test_what_is_flagged_is_not_flagged_again(
    put: Write, thinner: Thin, store: Store, sql: SQL
) -> None:
    """
    An hour that is gone on with is flagged from where it was left.
    """
    await put([span("error", status="error"), span("rest")])
    with pytest.raises(Crash):
        await thinner(CrashingStore(store, 186)).thin(DUE)
    await sql.execute("TRUNCATE flagged_traces")

    await thinner().thin(DUE)

    assert await numbers(sql) == (0, 2)


async def test_a_table_that_is_not_known_yet_is_flagged_as_soon(store: Store, sql: SQL) -> None:
    """
    Many requests and spans of a minute are compared within the store's timeout, with or without
    statistics.
    """
    await Partitions(store).ensure("requests", [AT.date()])
    await Partitions(store).ensure("fresh_spans", [AT])
    for table in (name_of("requests", AT.date()), name_of("fresh_spans", AT)):
        await sql.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    of_all = "FROM generate_series(0, 79999) AS n"
    at = "$1::timestamptz + n * interval '1 ms'"
    trace_id = "md5(n::text)::uuid"
    await sql.execute(
        "INSERT INTO requests (at, duration_us, trace_id, endpoint_id, status, host_id)"
        f" SELECT {at}, n % 1000, {trace_id}, n % 50, 200, 1 {of_all}",
        AT,
    )
    await sql.execute(
        "INSERT INTO fresh_spans"
        " (at, duration_us, span_id, trace_id, span_name_id, status, host_id)"
        f" SELECT {at}, n % 1000, n, {trace_id}, n % 50, 0, 1 {of_all}",
        AT,
    )

    for table in (name_of("requests", AT.date()), name_of("fresh_spans", AT)):
        for column in ("at", "trace_id"):
            await sql.execute(f"SELECT brin_summarize_new_values('{table}_{column}_idx')")

    async with store.transaction() as connection:
        await flag(connection, AT, AT, AT + MINUTE, slowest=5)

    assert await sql.fetchval("SELECT count(*) FROM flagged_traces") == 250


async def by_size(store: Store, telemetry: Telemetry) -> list[str]:
    return await SizeCap(store, Dropper(store, at_once), 1, telemetry).enforce(time.time())


async def by_retention(store: Store, telemetry: Telemetry) -> list[str]:
    keeper = Keeper(store, settings.Store(), Waiting(), telemetry, at_once)
    return await keeper.drop(time.time(), 0.0)


@pytest.mark.parametrize("drop", [by_size, by_retention])
async def test_an_hour_that_cannot_be_thinned_may_be_dropped(
    put: Write,
    thinner: Thin,
    store: Store,
    sql: SQL,
    telemetry: Telemetry,
    drop: Callable[[Store, Telemetry], Awaitable[list[str]]],
) -> None:
    """
    It goes by the size of the store, and by retention, with what was noted about it.
    """
    await put([span("rest"), span("error", status="error")])
    with pytest.raises(Crash):
        await thinner(CrashingStore(store, 186)).thin(DUE)

    dropped = await drop(store, telemetry)

    assert name_of("fresh_spans_closed", AT) in dropped
    assert await fresh(sql) == []
    assert await sql.fetchval("SELECT count(*) FROM span_thinning_marks") == 0
    assert await sql.fetchval("SELECT count(*) FROM flagged_traces") == 0
    await thinner().thin(DUE)


async def test_an_hour_that_is_dropped_meanwhile_is_let_go_of(
    put: Write, thinner: Thin, store: Store, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Who thins an hour that is dropped for the size stops, and leaves nothing behind.
    """
    await put([span("error", NOON + 60 * n, status="error") for n in range(60)])
    thin, dropped = thinner(), []

    async def sleep(_seconds: float) -> None:
        if not dropped and await sql.fetchval("SELECT count(*) > 10 FROM flagged_traces"):
            dropped.extend(await by_size(store, telemetry))

    thin._sleep = sleep
    await put([span(f"{n}", NOON + 60 * n, status="error") for n in range(60)])

    with pytest.raises(StoreUnreachable, match="another session"):
        await thin.thin(DUE)

    assert dropped[-1] == name_of("fresh_spans_closed", AT)
    await Partitions(store).ensure("fresh_spans", [AT])
    await thinner().thin(DUE)
    assert await sql.fetchval("SELECT count(*) FROM flagged_traces") == 0
