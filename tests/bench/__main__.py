"""Measure every promised figure on real servers; print a table and write ``results.json``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
import time

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import msgspec

from monitord.embedded.postgres import EmbeddedPostgres
from monitord.embedded.valkey import EmbeddedValkey
from tests.bench import (
    bytes_per_row,
    emit,
    http,
    idle,
    kills,
    outage,
    page,
    quantile_error,
    quantiles,
    ratios,
    summary,
    traces,
    udp,
)
from tests.bench.table import Row, render


RESULTS = Path(__file__).parent / "results.json"

# Benchmarks that need a database and nothing else.
ON_STORE: dict[str, Callable[[Path, str], Awaitable[list[Row]]]] = {
    "udp": udp.run,
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
NAMES = ("emit", *ON_STORE, "idle")


async def measure(wanted: list[str]) -> list[Row]:
    """Run the wanted benchmarks one after another, each on a database of its own."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="monitord-bench-") as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder / "postgres") as postgres:
            for bench in wanted:
                print(f"{bench} …", file=sys.stderr, flush=True)
                own = folder / bench
                own.mkdir()
                async with database(postgres, f"bench_{bench}") as dsn:
                    rows += await run(bench, own, dsn)
    return rows


async def run(bench: str, folder: Path, dsn: str) -> list[Row]:
    match bench:
        case "emit":
            return await asyncio.to_thread(emit.run)
        case "idle":
            async with EmbeddedValkey(folder / "valkey") as valkey:
                return await idle.run(folder, dsn, valkey.url)
        case _:
            return await ON_STORE[bench](folder, dsn)


@contextlib.asynccontextmanager
async def database(postgres: EmbeddedPostgres, name: str) -> AsyncIterator[str]:
    """Lend a fresh database; drop it afterwards, so that the next benchmark has the disk alone."""
    admin = await asyncpg.connect(postgres.dsn())
    try:
        await admin.execute(f'CREATE DATABASE "{name}"')
        yield postgres.dsn(name)
        await admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await admin.close()


def machine() -> dict[str, object]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def main() -> int:
    """Run the benchmarks named on the command line, or all; 1 when a figure was missed."""
    unknown = set(sys.argv[1:]) - set(NAMES)
    if unknown:
        print(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
        return 2
    rows = asyncio.run(measure(sys.argv[1:] or list(NAMES)))
    print(render(rows))
    results = {"machine": machine(), "rows": msgspec.to_builtins(rows)}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    return int(any(row.good is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
