"""All visitors at once: a bounded crowd that sends real HTTP requests to a shop on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket

from typing import Any
from urllib.parse import urlsplit

import aiohttp

from monitord.demo.traffic.pace import Pace
from monitord.demo.traffic.visitor import Answer, Visitor, office_round


VISITORS = 40
OFFICE_SECONDS = 4.0
TIMEOUT_SECONDS = 20.0
AWAY_SECONDS = 0.5


def own_shop(url: str) -> str:
    """
    Return *url* without a slash at its end.

    Raises ValueError: it leads to another machine; this load is for our own shop alone. A name
    without a dot may be a neighbour on a network of containers, whose addresses are private.
    """
    host = urlsplit(url).hostname or ""
    try:
        found = {ipaddress.ip_address(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except (OSError, ValueError):
        found = set()
    neighbour = "." not in host and ":" not in host
    if not found or not all(at.is_loopback or (neighbour and at.is_private) for at in found):
        raise ValueError(f"expected a shop on this machine, such as http://127.0.0.1:8000: {url!r}")
    return url.rstrip("/")


class Crowd:
    """
    Visitors that come and go at the pace of the day; never more than VISITORS requests at a time.
    """

    def __init__(self, url: str, mean_per_second: float) -> None:
        self._url = own_shop(url)
        self._pace = Pace(mean_per_second)
        self._session: aiohttp.ClientSession

    async def run(self) -> None:
        """Visit until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=VISITORS + 1)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as self._session,
            asyncio.TaskGroup() as group,
        ):
            for number in range(VISITORS):
                group.create_task(self._visitor(), name=f"visitor {number}")
            group.create_task(self._office(), name="office")

    async def _visitor(self) -> None:
        while True:
            await Visitor(self._send).visit()

    async def _office(self) -> None:
        while True:
            await asyncio.sleep(random.expovariate(1 / OFFICE_SECONDS))
            await office_round(self._ask)

    async def _send(self, method: str, path: str, token: str, data: Any) -> Answer:
        await self._pace.turn()
        return await self._ask(method, path, token, data)

    async def _ask(self, method: str, path: str, token: str, data: Any) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._session.request(
                method, self._url + path, json=data, headers=headers
            ) as response:
                has_json = response.content_type == "application/json"
                return Answer(response.status, await response.json() if has_json else None)
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(AWAY_SECONDS)  # the shop is away: do not hammer its door
            return Answer(0)
