"""What the store's tests share: a store on a database of their own, and a server they may hurt."""

import asyncio

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from monitord import settings
from monitord.embedded import EmbeddedPostgres, PostgresOptions
from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import Frame
from monitord.store.pool import Store, open_pool
from monitord.store.writer import Writer
from monitord.telemetry import Telemetry
from tests.frames import Waiting


DAY = 86_400.0


@pytest.fixture(scope="session")
def config() -> settings.Store:
    """
    The settings of the store, with the product's own retention.
    """
    return settings.Store(
        timeout=5.0,
        flush_every=0.01,
        retention=settings.Retention(
            requests=30 * DAY,
            logs=14 * DAY,
            metrics=30 * DAY,
            rollup_minutes=7 * DAY,
            rollup_hours=90 * DAY,
            rollup_days=400 * DAY,
        ),
    )


@pytest.fixture
def telemetry() -> Telemetry:
    """
    Counters of the test's own.
    """
    return Telemetry()


@pytest_asyncio.fixture
async def store(
    database: str, config: settings.Store, telemetry: Telemetry
) -> AsyncIterator[Store]:
    """
    A store that is up, on a fresh database.
    """
    async with open_pool(config, database, "test", telemetry) as opened:
        await opened.ready()
        yield opened


@pytest_asyncio.fixture
async def sql(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """
    A plain connection to the same database, to look at what is there.
    """
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def own_server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """
    A server nobody else uses, for a test that kills or freezes it. It starts again when killed.
    """
    options = PostgresOptions(settings={"fsync": "off", "full_page_writes": "off"})
    async with EmbeddedPostgres(tmp_path / "postgres", options) as server:
        yield server


@pytest.fixture
def dead_letters(tmp_path: Path, telemetry: Telemetry) -> DeadLetterFile:
    """
    The product's own file for refused events, in the test's folder.
    """
    return DeadLetterFile(tmp_path / "dead_letters.jsonl", telemetry)


@pytest.fixture
def write(
    store: Store, telemetry: Telemetry, dead_letters: DeadLetterFile
) -> Callable[[Sequence[Frame]], Awaitable[None]]:
    """
    Write frames as the daemon does, and return when they are done.
    """

    async def drained(frames: Sequence[Frame]) -> None:
        waiting = Waiting()
        for frame in frames:
            waiting.put(frame)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(Writer(store, waiting, telemetry, dead_letters, 0.0).run())
            async with asyncio.timeout(60):
                while waiting.pending:  # noqa: ASYNC110
                    await asyncio.sleep(0.002)
            writer.cancel()

    return drained


class Groups:
    """A `FrameSource` that hands out frames in groups of the test's choosing, in turn."""

    def __init__(self, groups: Sequence[Sequence[Frame]]) -> None:
        self.finished = asyncio.Event()
        self._groups = [list(group) for group in groups]

    async def next(self, limit: int, limit_bytes: int) -> Sequence[Frame]:
        if not self._groups:
            self.finished.set()
            await asyncio.get_running_loop().create_future()
        return list(self._groups[0])

    def done(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            self._groups[0].remove(frame)
        if not self._groups[0]:
            self._groups.pop(0)


@pytest.fixture
def groups() -> type[Groups]:
    """
    A source for tests that have a writer of their own.
    """
    return Groups


@pytest.fixture
def write_groups(
    store: Store, telemetry: Telemetry, dead_letters: DeadLetterFile
) -> Callable[[Sequence[Sequence[Frame]]], Awaitable[None]]:
    """
    Write frames group by group as a new run of the daemon does, which remembers nothing.
    """

    async def written(groups: Sequence[Sequence[Frame]]) -> None:
        source = Groups(groups)
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(Writer(store, source, telemetry, dead_letters, 0.0).run())
            async with asyncio.timeout(60):
                await source.finished.wait()
            writer.cancel()

    return written
