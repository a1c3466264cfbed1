"""What a route is: the handler, and all that is checked before it and said about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from monitord.http.auth import Scope
from monitord.http.parameter import Parameter


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Route(Struct, frozen=True, kw_only=True):
    """
    One method of one path.

    `strict` refuses query parameters that are not among `parameters`. `page`: a browser that is
    not logged in is sent to the login page. `answer` is the struct of a JSON answer, else
    `content` is its media type. `body` is the struct of a JSON body, whose answer has the status
    201. `places` describes the parameters in the path.
    """

    path: str
    handler: Handler
    summary: str
    method: Literal["GET", "POST"] = "GET"
    scope: Scope = Scope.READ
    parameters: tuple[Parameter[Any], ...] = ()
    places: dict[str, dict[str, Any]] = {}
    answer: Any = None
    content: str = "application/json"
    refusals: tuple[int, ...] = ()
    form: dict[str, Any] | None = None
    body: Any = None
    strict: bool = False
    page: bool = False
    head: bool = True
