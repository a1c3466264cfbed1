"""ASGI without a server: one request as a scope, what the application sent as a list."""

from __future__ import annotations

from typing import Any

from monitord.emit import MonitordMiddleware


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


def http_scope(path: str = "/", **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop")],
        "server": ("shop", 80),
        "client": ("192.0.2.1", 4711),
        **more,
    }


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """The application that only says ok."""
    await send(START)
    await send(BODY)


async def ask(
    app: Any, path: str = "/", *, messages: list[dict[str, Any]] | None = None, **more: Any
) -> list[dict[str, Any]]:
    """Serve one request; the application receives `messages`, then that the client has left."""
    incoming = [{"type": "http.request", "body": b""}] if messages is None else messages
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(http_scope(path, **more), receive, send)
    return sent


def header(sent: list[dict[str, Any]], name: bytes) -> list[bytes]:
    """Return every value of a header of the answer, whatever its case."""
    return [value for key, value in sent[0].get("headers", ()) if key.lower() == name]


def wrapped(app: Any, emitter: Any, **options: Any) -> MonitordMiddleware:
    return MonitordMiddleware(app, emitter, **options)
