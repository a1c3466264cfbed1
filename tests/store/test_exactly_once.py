"""Every frame is applied once, in whatever order and however often it comes, over whole crashes."""

import asyncio

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import msgspec

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import Batch, Frame, Request
from monitord.store.apply import apply
from monitord.store.dictionaries import Dictionaries
from monitord.store.drain import prepare
from monitord.store.halving import at_once
from monitord.store.migrate import migrate, migrations
from monitord.store.partitions import Partitions
from monitord.store.pool import Store
from monitord.store.rollups import Compactor
from monitord.telemetry import Telemetry


SQL = asyncpg.Connection
WriteGroups = Callable[[Sequence[Sequence[Frame]]], Awaitable[None]]

MIDNIGHT = datetime(2026, 8, 2, tzinfo=UTC).timestamp()
HOUR = 3_600.0
KEPT = 30 * 86_400.0


def request(n: int, at: float = MIDNIGHT, **changes: object) -> Request:
    """Return a request that can be told from others by its duration, n milliseconds."""
    whole = Request(at, "shop", "GET", "/", 200, float(n))
    return msgspec.structs.replace(whole, **changes)


def frame(seq: int, writer: int = 1, events: int = 1, at: float = MIDNIGHT) -> Frame:
    some = [request(writer * 10_000 + seq * 10 + n) for n in range(events)]
    return Frame(writer, seq, Batch(at, requests=some))


def of(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"monitord_store_{name}_total", labels) or 0.0


async def stored(sql: SQL) -> list[int]:
    """Return the durations of the stored requests in milliseconds, smallest first."""
    rows = await sql.fetch("SELECT duration_us / 1000 AS ms FROM requests ORDER BY 1")
    return [row["ms"] for row in rows]


async def rolled(sql: SQL) -> int:
    """Return how many requests the minutes and the deltas beside them count."""
    return int(
        await sql.fetchval(
            "SELECT coalesce(sum(count), 0) FROM (SELECT count FROM request_rollup_deltas"
            " UNION ALL SELECT count FROM request_rollups WHERE tier = 60) AS every"
        )
    )


def durations(*frames: Frame) -> list[int]:
    return sorted(int(one.duration_ms) for some in frames for one in some.batch.requests)


async def test_frames_are_applied_in_any_order(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    Frames of three runs, mixed and backwards, are each stored once; the ledger has no gap left.
    """
    frames = [frame(seq, writer) for seq in range(1, 41) for writer in (1, 2, 3)]
    backwards = frames[::-1]

    await write_groups([backwards[n : n + 7] for n in range(0, len(backwards), 7)])

    assert await stored(sql) == durations(*frames)
    assert await rolled(sql) == 120
    assert of(telemetry, "duplicate_events") == 0
    ledger = await sql.fetch("SELECT writer, applied::text AS applied FROM writers ORDER BY 1")
    assert [tuple(row) for row in ledger] == [(run, "{[1,41)}") for run in (1, 2, 3)]


async def test_replay_in_other_groups_adds_what_is_missing(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry
) -> None:
    """
    After a crash the frames come again in other groups: those not yet applied are stored, all
    others are counted as duplicates, though they lie between them.
    """
    frames = [frame(seq, writer, events=seq) for writer in (1, 2) for seq in range(1, 9)]
    before = [one for one in frames if one.seq % 3]

    await write_groups([before[:3], before[3:]])
    await write_groups([frames[1:12], frames[12:], frames[:1]])

    assert await stored(sql) == durations(*frames)
    assert await rolled(sql) == len(durations(*frames))
    assert of(telemetry, "events", type="request") == len(durations(*frames))
    assert of(telemetry, "duplicate_events") == len(durations(*before))


async def test_deltas_of_frames_out_of_order_are_told_apart(
    write_groups: WriteGroups, store: Store, sql: SQL
) -> None:
    """
    Whatever the groups, each adds a delta of its own to one and the same minute, before and after
    the first ones are merged.
    """
    await write_groups([[frame(1), frame(9)], [frame(5), frame(3)], [frame(4), frame(2)]])
    assert await sql.fetchval("SELECT count(*) FROM request_rollup_deltas") == 3
    await Compactor(store).merge(datetime.now(UTC), all_minutes=True)

    await write_groups([[frame(9), frame(3), frame(6)], [frame(2), frame(7)]])

    assert await rolled(sql) == len(await stored(sql)) == 8


async def begun(connection: SQL, store: Store, frames: Sequence[Frame]) -> None:
    """Apply frames in a transaction that is left open, as an attempt whose answer was lost is."""
    drain = await prepare(frames, Dictionaries(store), store.host_id)
    for table, days in drain.periods().items():
        await Partitions(store).ensure(table, days)
    await connection.execute("BEGIN")
    await apply(connection, drain, store.host_id, KEPT, at_once)


async def waiting(sql: SQL, writing: "asyncio.Task[None]") -> None:
    """Return when a statement waits for a lock; the writing must not be over by then."""
    async with asyncio.timeout(10):
        while not await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not writing.done()
            await asyncio.sleep(0.01)


async def test_attempt_still_on_its_way_is_waited_for(
    write_groups: WriteGroups, store: Store, sql: SQL, database: str, telemetry: Telemetry
) -> None:
    """
    While another connection still has frames in an open transaction, nobody applies them; what
    then happens depends on how it ends.
    """
    zombie = await asyncpg.connect(database)
    for writer, end, duplicates in ((1, "ROLLBACK", 0), (2, "COMMIT", 2)):
        some = [frame(seq, writer) for seq in (1, 2, 3)]
        await begun(zombie, store, [some[2], some[0]])
        writing = asyncio.create_task(write_groups([some]))
        await waiting(sql, writing)
        await zombie.execute(end)
        await writing

        assert of(telemetry, "duplicate_events") == duplicates

    assert len(await stored(sql)) == await rolled(sql) == 6
    await zombie.close()


async def test_frame_that_cannot_be_put_down_as_refused_is_given_up(
    write_groups: WriteGroups, sql: SQL, telemetry: Telemetry, dead_letters: DeadLetterFile
) -> None:
    """
    A frame whose number no ledger holds is refused; those beside it are stored.
    """
    await write_groups([[frame(1), frame(1 << 63), frame(2)]])

    assert await stored(sql) == durations(frame(1), frame(2))
    assert of(telemetry, "refused_events", type="request") == 1


async def test_refused_frame_is_not_refused_again(
    write_groups: WriteGroups, tmp_path: Path, telemetry: Telemetry
) -> None:
    """
    A frame on which the writer itself fails is in the ledger: a replay does not bury it twice.
    """
    broken = Frame(1, 1, Batch(MIDNIGHT, requests=[request(1, route=None)]))

    await write_groups([[broken]])
    await write_groups([[broken]])

    assert of(telemetry, "refused_events", type="request") == 1
    assert of(telemetry, "duplicate_events") == 1
    assert len((tmp_path / "dead_letters.jsonl").read_text().splitlines()) == 1


async def test_ledger_takes_over_what_was_applied_in_order(
    empty_database: str, tmp_path: Path
) -> None:
    """
    The mark of a run that older releases kept becomes the frames from the first to it.
    """
    connection = await asyncpg.connect(empty_database)
    for one in migrations()[:7]:
        (tmp_path / f"{one.version:04}_{one.name}.sql").write_text(one.sql)
    await migrate(connection, tmp_path)
    await connection.execute(
        "INSERT INTO writers (host_id, writer, last_seq) VALUES (1, 7, 1), (1, 8, 500), (1, 9, 0)"
    )

    await migrate(connection)

    found = await connection.fetch("SELECT writer, applied::text FROM writers ORDER BY 1")
    assert [tuple(row) for row in found] == [(7, "{[1,2)}"), (8, "{[1,501)}"), (9, "{}")]
    await connection.close()


# -- the model -------------------------------------------------------------------------------

# Around two midnights: pairs of these lie closer than 24 hours, exactly so, and farther apart.
MOMENTS = [MIDNIGHT + hours * HOUR for hours in (-25, -24, -1, -0.001, 0, 0.001, 23, 24, 25)]
POISON_MS = 13


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Frame], list[list[Frame]]]:
    """Draw frames of three runs, and groups in which they are handed out, some of them again."""
    ids = st.sampled_from([None, None, None, "a", "b"])
    numbers = iter(range(100, 10_000))
    frames = []
    for writer in (1, 2, 3):
        for seq in range(1, draw(st.integers(1, 6)) + 1):
            at = draw(st.sampled_from(MOMENTS))
            some = []
            for _ in range(draw(st.integers(1, 4))):
                kind = draw(st.sampled_from(["fine", "fine", "fine", "poison", "bad"]))
                n = POISON_MS if kind == "poison" else next(numbers)
                some.append(request(n, at, id=draw(ids), status=99 if kind == "bad" else 200))
            key = draw(st.sampled_from(["", "", "", "k"]))
            frames.append(Frame(writer, seq, Batch(at, requests=some, idempotency_key=key)))
    indexes = st.sampled_from(range(len(frames)))
    groups = [
        [frames[index] for index in some]
        for some in draw(st.lists(st.lists(indexes, min_size=1, max_size=6, unique=True)))
    ]
    return frames, [*groups, draw(st.permutations(frames))]


class Model:
    """What the store should hold, in plain Python."""

    def __init__(self) -> None:
        self.applied: set[tuple[int, int]] = set()
        self.seen: list[tuple[object, float]] = []
        self.stored: list[int] = []
        self.refused = 0
        self.duplicates = 0

    def group(self, frames: Sequence[Frame]) -> None:
        """Hand out frames together; a refused event keeps no id, not even among them."""
        for one in frames:
            events, at = one.batch.requests, one.batch.received_at
            if (one.writer, one.seq) in self.applied or self._came(one.batch.idempotency_key, at):
                self.duplicates += len(events)
            else:
                for event in events:
                    self._event(event, at)
            self.applied.add((one.writer, one.seq))

    def _event(self, event: Request, at: float) -> None:
        key = event.id and ("event", event.id)
        poison = event.duration_ms == POISON_MS
        if event.status == 99:
            self.refused += 1
        elif self._came(key, at, keep=not poison):
            self.duplicates += 1
        elif poison:
            self.refused += 1
        else:
            self.stored.append(int(event.duration_ms))

    def _came(self, key: object, at: float, *, keep: bool = True) -> bool:
        if not key:
            return False
        if any(one == key and abs(at - before) < 24 * HOUR for one, before in self.seen):
            return True
        if keep:
            self.seen.append((key, at))
        return False


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
async def test_any_history_is_stored_exactly_once(
    write_groups: WriteGroups,
    store: Store,
    sql: SQL,
    telemetry: Telemetry,
    history: tuple[list[Frame], list[list[Frame]]],
) -> None:
    """
    However frames are shuffled, grouped and repeated: rows are those of the model, rollups count
    them, and every event handed out is stored, refused or a duplicate.
    """
    await sql.execute(
        "TRUNCATE requests, request_rollup_deltas, request_rollups, writers, event_ids;"
        " ALTER TABLE requests DROP CONSTRAINT IF EXISTS fine;"
        f" ALTER TABLE requests ADD CONSTRAINT fine CHECK (duration_us <> {POISON_MS * 1000})"
    )
    names = ("events", "refused_events")
    before = Counter({name: of(telemetry, name, type="request") for name in names})
    before["duplicate_events"] = int(of(telemetry, "duplicate_events"))
    _, groups = history
    model = Model()
    for group in groups:
        model.group(group)

    await write_groups(groups)

    assert await stored(sql) == sorted(model.stored)
    assert await rolled(sql) == len(model.stored)
    after = Counter({name: of(telemetry, name, type="request") for name in names})
    after["duplicate_events"] = int(of(telemetry, "duplicate_events"))
    counted = {name: after[name] - before[name] for name in after}
    assert sum(counted.values()) == len(model.stored) + model.refused + model.duplicates
    assert counted["events"] == len(model.stored)
    # What the database refuses may have been tried before the one it repeats was.
    assert counted["refused_events"] >= model.refused
