"""Under which label a request is counted: templates, or paths that cannot become too many."""

from __future__ import annotations

import asyncio

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from monitord.emit import Emitter, MonitordMiddleware
from monitord.emit.route import MOST_PATHS, normalised
from tests.emit.asgi import BODY, START, answering, ask
from tests.emit.receiver import Receiver


async def labels(
    app: Any, emitter: Emitter, receiver: Receiver, *paths: str, **scope: Any
) -> list[str]:
    """Return the labels of requests for these paths, in order."""
    before = len(receiver.events("request"))
    for path in paths:
        await ask(app, path, **scope)
    assert await asyncio.to_thread(emitter.flush, 5)
    found = await asyncio.to_thread(receiver.wait, "request", before + len(paths))
    return [event["route"] for event in found[before:]]


async def page(_: Request) -> Response:
    return PlainTextResponse("ok")


def shop(emitter: Emitter, static: Path) -> Any:
    """An application with routes, mounts with and without parameters, and files."""
    orders = [Route("/", page), Route("/{order_id:int}", page)]
    tenant = Starlette(routes=[Route("/users/{name}", page), Mount("/orders", routes=orders)])
    app = Starlette(
        routes=[
            Route("/", page),
            Route("/orders/{order_id:int}", page),
            Route("/files/{rest:path}", page),
            Route("/only-post", page, methods=["POST"]),
            Mount("/tenants/{tenant}", app=tenant),
            Mount("/old", app=tenant),
            Mount("/static", app=StaticFiles(directory=static)),
            Host("api.shop", app=Router(routes=[Mount("/v1", routes=[Route("/x/{y}", page)])])),
        ]
    )
    app.add_middleware(MonitordMiddleware, emitter=emitter)
    return app


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/", "/"),
        ("/orders/17", "/orders/{order_id}"),
        ("/files/a/b/c.txt", "/files/{rest}"),
        ("/tenants/acme/users/eve", "/tenants/{tenant}/users/{name}"),
        ("/tenants/old/orders/5", "/tenants/{tenant}/orders/{order_id}"),
        ("/tenants/acme/orders/", "/tenants/{tenant}/orders/"),
        ("/old/users/eve", "/old/users/{name}"),
        ("/static/page.txt", "/static/{path}"),
        ("/static/missing.txt", "/static/{path}"),
        ("/only-post", "/only-post"),
        ("/nowhere/4711", "__unmatched__"),
        ("/orders/17/", "__unmatched__"),
        ("/tenants/acme/nowhere", "/tenants/{tenant}/{path}"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/shop"])
async def test_starlette(
    emitter: Emitter, receiver: Receiver, tmp_path: Path, path: str, label: str, prefix: str
) -> None:
    """
    The template with every mount before it, behind the application's own root path; what no route
    answers is one label, whatever the path.
    """
    (tmp_path / "page.txt").write_text("x")
    app = shop(emitter, tmp_path)

    found = await labels(app, emitter, receiver, prefix + path, root_path=prefix)

    assert found == [label if label == "__unmatched__" else prefix + label]


async def test_one_application_in_two_places(
    emitter: Emitter, receiver: Receiver, tmp_path: Path
) -> None:
    """
    The same route object below two mounts has two labels, in whatever order it is asked for.
    """
    app = shop(emitter, tmp_path)

    found = await labels(
        app, emitter, receiver, "/old/users/a", "/tenants/b/users/c", "/old/users/d"
    )

    assert found == ["/old/users/{name}", "/tenants/{tenant}/users/{name}", "/old/users/{name}"]


async def test_a_host_and_a_mount(emitter: Emitter, receiver: Receiver, tmp_path: Path) -> None:
    """
    A route below a host is found as well; the host is no part of the label.
    """
    headers = [(b"host", b"api.shop")]

    found = await labels(shop(emitter, tmp_path), emitter, receiver, "/v1/x/7", headers=headers)

    assert found == ["/v1/x/{y}"]


async def test_a_mounted_application_behind_a_wrapper(emitter: Emitter, receiver: Receiver) -> None:
    """
    Where the tree of routes is hidden, the mount is told from the path, its parameters put back.
    """
    inner = Starlette(routes=[Route("/x/{y}", page)])

    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    app = Starlette(routes=[Mount("/tenants/{tenant}/7", app=wrapper)])
    app.add_middleware(MonitordMiddleware, emitter=emitter)

    found = await labels(app, emitter, receiver, "/tenants/acme/7/x/1")

    assert found == ["/tenants/{tenant}/:id/x/{y}"]


async def test_an_included_router_of_fastapi(emitter: Emitter, receiver: Receiver) -> None:
    """
    FastAPI (0.165) puts the route without its prefix in the scope, and the prefix in a context.
    """
    route = SimpleNamespace(path="/x/{n}", path_format="/x/{n}")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        template = "/api/{tenant}/x/{n}" if scope["path"].startswith("/api") else "/old/x/{n}"
        context = contexts.setdefault(template, SimpleNamespace(path_format=template))
        scope |= {"route": route, "router": object()}
        scope["fastapi"] = {"effective_route_context": context}
        await answering(scope, receive, send)

    contexts: dict[str, Any] = {}

    found = await labels(
        MonitordMiddleware(app, emitter), emitter, receiver, "/api/acme/x/1", "/old/x/2"
    )

    assert found == ["/api/{tenant}/x/{n}", "/old/x/{n}"]


async def test_litestar(emitter: Emitter, receiver: Receiver) -> None:
    """
    Litestar's template, with the types of its parameters taken off.
    """

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/orders/{order_id:int}"
        await answering(scope, receive, send)

    found = await labels(MonitordMiddleware(app, emitter), emitter, receiver, "/orders/17")

    assert found == ["/orders/{order_id}"]


async def test_the_application_names_its_routes(emitter: Emitter, receiver: Receiver) -> None:
    """
    `route` is asked first; when it does not know, or fails, the path is what is left.
    """

    def named(scope: Any) -> str | None:
        return {"/known": "/blog/{slug}", "/unknown": None}[scope["path"]]

    app = MonitordMiddleware(answering, emitter, route=named)

    found = await labels(app, emitter, receiver, "/known", "/unknown", "/fails/1")

    assert found == ["/blog/{slug}", "/unknown", "/fails/:id"]


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/", "/"),
        ("", ""),
        ("/orders/17", "/orders/:id"),
        ("/orders/17/items/3/", "/orders/:id/items/:id/"),
        ("/users/550e8400-e29b-41d4-a716-446655440000", "/users/:uuid"),
        ("/users/550E8400-E29B-41D4-A716-446655440000/x", "/users/:uuid/x"),
        ("/files/d41d8cd98f00b204e9800998ecf8427e", "/files/:hash"),
        ("/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/:hash"),
        ("/objects/507f1f77bcf86cd799439011", "/objects/:hash"),
        ("/cafe/deadbeef", "/cafe/deadbeef"),
        ("/v1/orders", "/v1/orders"),
        ("/orders/17abc", "/orders/17abc"),
        ("/1/2/3", "/:id/:id/:id"),
        ("/orders/12345678901234567890", "/orders/:id"),
    ],
)
def test_normalised_paths(path: str, label: str) -> None:
    """
    Whole segments are replaced: UUIDs, 16 hex digits or more, numbers.
    """
    assert normalised(path) == label


def plain(status: int) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({**START, "status": status})
        await send(BODY)

    return app


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (200, "/wp-admin/x"),
        (204, "/wp-admin/x"),
        (500, "/wp-admin/x"),
        (301, "__unmatched__"),
        (401, "__unmatched__"),
        (404, "__unmatched__"),
        (405, "__unmatched__"),
    ],
)
async def test_a_path_becomes_a_label_when_it_exists(
    emitter: Emitter, receiver: Receiver, status: int, label: str
) -> None:
    """
    Without a framework, what is only ever refused or sent elsewhere makes no label.
    """
    app = MonitordMiddleware(plain(status), emitter)

    assert await labels(app, emitter, receiver, "/wp-admin/x") == [label]


async def test_a_known_path_keeps_its_label(emitter: Emitter, receiver: Receiver) -> None:
    """
    A path that was answered well is still itself when it is refused; a 404 never is.
    """
    answers = [200, 401, 404, 500]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await plain(answers.pop(0))(scope, receive, send)

    found = await labels(MonitordMiddleware(app, emitter), emitter, receiver, *["/account"] * 4)

    assert found == ["/account", "/account", "__unmatched__", "/account"]


async def test_paths_are_bounded(emitter: Emitter, receiver: Receiver) -> None:
    """
    Above the limit new paths share one label, and those that were first keep theirs.
    """
    app = MonitordMiddleware(answering, emitter)
    paths = [f"/page-{number}" for number in range(MOST_PATHS + 5)]

    found = await labels(app, emitter, receiver, *paths, "/page-3")

    assert found == [*paths[:MOST_PATHS], *["__overflow__"] * 5, "/page-3"]
