"""
A program that runs the embedded servers until its stdin ends, as `monitord` would.

    serve.py FOLDER [asyncio|uvloop]

It prints one line of JSON once they answer, or one line `{"error": …}`.
"""

import asyncio
import json
import sys

from pathlib import Path

import uvloop

from monitord.embedded import EmbeddedPostgres, EmbeddedValkey
from monitord.errors import EmbeddedError


async def main(folder: Path) -> None:
    try:
        async with (
            EmbeddedPostgres(folder / "postgres") as postgres,
            EmbeddedValkey(folder / "valkey") as valkey,
        ):
            pids = {"postgres": postgres.pid, "valkey": valkey.pid}
            say(dsn=postgres.dsn(), url=valkey.url, pids=pids)
            await asyncio.to_thread(sys.stdin.read)
    except EmbeddedError as error:
        say(error=str(error))


def say(**words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run = uvloop.run if sys.argv[2:] == ["uvloop"] else asyncio.run
    run(main(Path(sys.argv[1])))
