"""`python -m monitord.demo.traffic`: visit TRAFFIC_URL until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from collections.abc import Mapping

from monitord import emit
from monitord.demo.traffic.crowd import Crowd
from monitord.emit.hooks import watch_aiohttp_client


MEAN_PER_SECOND = 50.0


async def visit(environ: Mapping[str, str]) -> None:
    """
    Run the crowd until a signal comes. Raises ValueError: the environment is wrong.
    """
    crowd = Crowd(
        environ.get("TRAFFIC_URL", "http://127.0.0.1:8000"),
        float(environ.get("TRAFFIC_PER_SECOND", MEAN_PER_SECOND)),
    )
    visiting = asyncio.create_task(crowd.run(), name="crowd")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, visiting.cancel)
    try:
        await visiting
    except asyncio.CancelledError:
        return


def main() -> int:
    """
    Return 0 after a signal, 2 when the environment is wrong.
    """
    # The office is an application, too, whose calls the shop goes on with; visitors are none.
    emit.configure(service="office")
    watch_aiohttp_client()
    try:
        asyncio.run(visit(os.environ))
    except ValueError as error:
        sys.stderr.write(f"traffic: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
