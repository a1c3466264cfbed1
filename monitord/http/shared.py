"""Answers about now that several pages ask for at once: read once, shared for a moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from monitord.http.keys import MEMO
from monitord.http.respond import answer


T = TypeVar("T")


async def shared(
    request: web.Request, name: str, seconds: float, make: Callable[[], Awaitable[T]]
) -> web.Response:
    """
    Answer what *make* gives, for the same question at most so many seconds old.

    Of a window that was given by its ends nobody else asks: it would only be kept for nothing.
    """
    if request.query.keys() & {"start", "end"}:
        return answer(await make())
    return answer(await request.app[MEMO].get((name, request.query_string), seconds, make))
