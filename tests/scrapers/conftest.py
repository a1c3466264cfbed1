"""Servers a test may freeze, restart or spoil, and one that says whatever a test wants."""

import asyncio
import contextlib

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio

from monitord.embedded import EmbeddedPostgres, EmbeddedValkey, PostgresOptions
from monitord.model import Metric


FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
DEBIAN = Path("/usr/lib/postgresql")
OLDER = [
    pytest.param(folder, id=folder.parent.name)
    for folder in sorted(DEBIAN.glob("*/bin"))
    if (folder / "postgres").exists()
] or [pytest.param(None, marks=pytest.mark.skip(reason=f"no server in {DEBIAN}"))]

Values = Callable[..., dict[str, float]]
Answering = Callable[..., AbstractAsyncContextManager[int]]


@pytest.fixture
def values() -> Values:
    """
    Turns samples into a mapping by name; those with attributes by name and attribute values.
    """

    def by_name(metrics: list[Metric]) -> dict[str, float]:
        return {" ".join([m.name, *m.attributes.values()]): m.value for m in metrics}

    return by_name


@pytest_asyncio.fixture
async def own_valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """
    A Valkey of the test's own.
    """
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        yield server


@pytest_asyncio.fixture(scope="session")
async def quiet_postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[EmbeddedPostgres]:
    """
    A PostgreSQL in which nothing runs by itself and nothing is preloaded; it may be restarted.
    """
    settings = {**FAST, "autovacuum": "off", "shared_preload_libraries": ""}
    options = PostgresOptions(settings=settings)
    async with EmbeddedPostgres(tmp_path_factory.mktemp("quiet"), options) as server:
        yield server


@pytest_asyncio.fixture(scope="session", params=OLDER)
async def older_postgres(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[EmbeddedPostgres]:
    """
    Each PostgreSQL that Debian's packages have installed here, with statements preloaded.
    """
    options = PostgresOptions(settings=FAST, binaries=request.param)
    async with EmbeddedPostgres(tmp_path_factory.mktemp("older"), options) as server:
        yield server


@pytest.fixture
def answering() -> Answering:
    """
    Starts a server on loopback that answers each Redis command with the same bytes; gives its port.
    """

    @contextlib.asynccontextmanager
    async def start(answer: bytes, ssl: object = None) -> AsyncIterator[int]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while line := await reader.readline():
                    for _ in range(int(line[1:])):
                        size = int((await reader.readline())[1:])
                        await reader.readexactly(size + 2)
                    writer.write(answer)
                    await writer.drain()
                    if not answer:
                        break
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
        async with server:
            yield server.sockets[0].getsockname()[1]

    return start
