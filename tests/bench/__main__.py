"""
Measure every promised figure on real servers; print a table and write ``results.json``.

``--markdown`` measures nothing: it prints what the last run wrote, for docs/performance.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
import traceback

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec

from monitord.embedded.postgres import EmbeddedPostgres
from monitord.embedded.valkey import EmbeddedValkey
from tests.bench import (
    bytes_per_row,
    emit,
    hooks,
    http,
    idle,
    kills,
    otlp,
    outage,
    overhead,
    page,
    quantile_error,
    quantiles,
    ratios,
    statsd,
    summary,
    traces,
    udp,
)
from tests.bench.results import PATH, Results, as_markdown, load, save, this_machine
from tests.bench.table import Row, crashed, render


# Benchmarks that need a database and nothing else.
ON_STORE: dict[str, Callable[[Path, str], Awaitable[list[Row]]]] = {
    "udp": udp.run,
    "statsd": statsd.run,
    "http": http.run,
    "summary": summary.run,
    "page": page.run,
    "quantiles": quantiles.run,
    "quantile_error": quantile_error.run,
    "outage": outage.run,
    "kills": kills.run,
    "bytes_per_row": bytes_per_row.run,
    "ratios": ratios.run,
    "traces": traces.run,
}
# Benchmarks that need no daemon.
ALONE: dict[str, Callable[[], list[Row]]] = {
    "emit": emit.run,
    "otlp": otlp.run,
    "hooks": hooks.run,
    "overhead": overhead.run,
}
NAMES = ("emit", *ON_STORE, "otlp", "hooks", "overhead", "idle")


async def measure(wanted: list[str]) -> Results:
    """Run the wanted benchmarks one after another, each on a database of its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder / "postgres") as postgres:
            machine = this_machine(await version(postgres))
            for bench in wanted:
                print(f"{bench} …", file=sys.stderr, flush=True)
                rows += await run_to_its_end(bench, folder / bench, postgres)
    return Results(machine, rows)


async def run_to_its_end(bench: str, folder: Path, postgres: EmbeddedPostgres) -> list[Row]:
    """Return the rows of one benchmark; if it crashes, a row that says so and counts as missed."""
    try:
        await asyncio.to_thread(folder.mkdir)
        async with database(postgres, f"bench_{bench}") as dsn:
            return await run(bench, folder, dsn)
    except Exception as error:  # noqa: BLE001 - the others are measured all the same
        traceback.print_exc()
        return [crashed(bench, error)]


async def run(bench: str, folder: Path, dsn: str) -> list[Row]:
    if bench in ALONE:
        return await asyncio.to_thread(ALONE[bench])
    if bench in ON_STORE:
        return await ON_STORE[bench](folder, dsn)
    async with EmbeddedValkey(folder / "valkey") as valkey:
        return await idle.run(folder, dsn, valkey.url)


@contextlib.asynccontextmanager
async def database(postgres: EmbeddedPostgres, name: str) -> AsyncIterator[str]:
    """Lend a fresh database; drop it afterwards, so that the next benchmark has the disk alone."""
    admin = await asyncpg.connect(postgres.dsn())
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        try:
            yield postgres.dsn(name)
        finally:
            await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


async def version(postgres: EmbeddedPostgres) -> str:
    connection = await asyncpg.connect(postgres.dsn())
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


def main() -> int:
    """Run the benchmarks named on the command line, or all; 1 when a figure was missed."""
    if sys.argv[1:] == ["--markdown"]:
        return show()
    unknown = set(sys.argv[1:]) - set(NAMES)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
        return 2
    results = asyncio.run(measure(sys.argv[1:] or list(NAMES)))
    print(render(results.rows))
    save(results)
    return int(any(row.good is False for row in results.rows))


def show() -> int:
    """Print what the last run measured as Markdown; 2 when there is nothing to print."""
    try:
        print(as_markdown(load()))
    except (OSError, msgspec.DecodeError) as error:
        print(f"{PATH.name}: {error}; measure first: make bench", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
