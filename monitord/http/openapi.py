"""`/api/openapi.json`: written from the route registry, the parameters and the answers' structs."""

from __future__ import annotations

import http
import re

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

import monitord

from monitord.http.answers import Failure
from monitord.http.auth import COOKIE, Scope
from monitord.http.route import Route


JSON = "application/json"
REFERENCE = "#/components/schemas/{name}"

EVENT_STREAM = (
    "Unnamed events hold one log line each as JSON (LogEntry), with its cursor as `id`; send it "
    "as `Last-Event-ID` to go on from there. Event `gap` `{dropped}`: so many lines are missing "
    "here (null: unknown). Event `bye`: monitord ends the stream. A comment every 10 s keeps the "
    "connection open."
)


def document(routes: Iterable[Route], base_path: str, closed: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document; `closed` says that a token is needed."""
    routes = tuple(routes)
    made: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {
            "title": "monitord",
            "version": monitord.__version__,
            "summary": "What the page shows, and the log, as JSON.",
            "description": "Times are Unix seconds. null is unknown, never zero.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base_path or "/"}],
        "paths": {},
        "components": {"schemas": _schemas(routes)},
    }
    for route in routes:
        made["paths"].setdefault(route.path, {})[route.method.lower()] = _operation(route, closed)
    if closed:
        made["components"]["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
    # Through JSON and back: a struct's default may be a tuple, which is no array to a validator.
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return found


def _schemas(routes: Iterable[Route]) -> dict[str, Any]:
    kinds = [kind for route in routes for of in (route.answer, route.body) for kind in _kinds(of)]
    _, schemas = msgspec.json.schema_components([*kinds, Failure], ref_template=REFERENCE)
    return schemas


def _kinds(answer: Any) -> tuple[Any, ...]:
    """Return the structs of an answer: none, one, or those of a union."""
    if answer is None:
        return ()
    return get_args(answer) or (answer,)


def _operation(route: Route, closed: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "responses": _responses(route, closed),
    }
    parameters = _parameters(route)
    if parameters:
        operation["parameters"] = parameters
    if route.form is not None:
        content = {"application/x-www-form-urlencoded": {"schema": route.form}}
        operation["requestBody"] = {"required": True, "content": content}
    if route.body is not None:
        schema = {"$ref": REFERENCE.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    if closed and route.scope > Scope.OPEN:
        operation["security"] = [{"token": []}, {"session": []}]
    return operation


def _name(route: Route) -> str:
    words = re.findall(r"[a-z0-9]+", route.path) or ["page"]
    return "_".join([route.method.lower(), *words])


def _parameters(route: Route) -> list[dict[str, Any]]:
    places = [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name, schema in route.places.items()
    ]
    return places + [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": parameter.schema,
        }
        for parameter in route.parameters
    ]


def _responses(route: Route, closed: bool) -> dict[str, Any]:
    statuses = set(route.refusals) | ({400} if route.parameters else set())
    if closed and route.scope > Scope.OPEN:
        statuses |= {401}
    found: dict[str, Any]
    if route.body is not None:
        found = {"201": {"description": _what(route), "content": _content(route)}}
    elif route.method == "POST":
        found = {"303": {"description": "On to another page."}}
    else:
        found = {"200": {"description": _what(route), "content": _content(route)}}
    for status in sorted(statuses | {421, 500}):
        schema = {"$ref": REFERENCE.format(name="Failure")}
        found[str(status)] = {
            "description": http.HTTPStatus(status).phrase,
            "content": {JSON: {"schema": schema}},
        }
    return found


def _what(route: Route) -> str:
    return EVENT_STREAM if route.content == "text/event-stream" else route.summary


def _content(route: Route) -> dict[str, Any]:
    references = [{"$ref": REFERENCE.format(name=kind.__name__)} for kind in _kinds(route.answer)]
    if len(references) > 1:
        return {route.content: {"schema": {"anyOf": references}}}
    return {route.content: {"schema": references[0] if references else {"type": "string"}}}
