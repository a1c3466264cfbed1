"""The OpenAPI document: valid, complete, and what the API really answers."""

from __future__ import annotations

import time

from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from openapi_spec_validator import OpenAPIV31SpecValidator

from monitord.http.charts import CHARTS
from monitord.http.openapi import document
from monitord.http.routes import ROUTES
from monitord.model import Annotation, ErrorInfo, Log, Metric, Request, Span, StackFrame
from monitord.store.fingerprint import fingerprint
from tests.http.conftest import Served


@pytest.mark.parametrize("closed", [False, True])
def test_valid(closed: bool) -> None:
    """
    The document keeps to OpenAPI 3.1, with and without a token.
    """
    OpenAPIV31SpecValidator(document(ROUTES, "/monitor", closed)).validate()


async def test_every_route_is_documented(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    What the server routes and what the document lists is the same, method by method.
    """
    app = served.server.app
    routed = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }

    async with browser.get(served.address("/api/openapi.json")) as answer:
        written = await answer.json()

    documented = {
        (method.upper(), path) for path, item in written["paths"].items() for method in item
    }
    assert documented == routed
    assert written["servers"] == [{"url": "/"}]


def test_every_operation_has_its_own_name() -> None:
    """
    A client generator gets one function per operation.
    """
    paths = document(ROUTES, "", False)["paths"].values()
    names = [operation["operationId"] for item in paths for operation in item.values()]

    assert len(names) == len(set(names))


TRACES = "/api/monitoring/advanced/traces"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ERROR = ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy")])
ANSWERS = [
    "/api/monitoring/advanced/summary",
    "/api/monitoring/advanced/requests/exact",
    f"{TRACES}/{TRACE}",
    "/api/v1/overview",
    "/api/v1/overview?range=30d",
    *(f"/api/v1/charts/{name}?range=15m" for name in CHARTS),
    "/api/v1/metrics",
    "/api/v1/metrics?name=redis.keys&aggregate=max&attributes=target:main",
    "/api/v1/series",
    "/api/v1/traces",
    f"/api/v1/traces/{TRACE}",
    "/api/v1/errors",
    f"/api/v1/errors/{fingerprint(ERROR)}",
    "/api/v1/jobs",
    "/api/v1/annotations",
    "/api/v1/logs?limit=2",
    "/api/v1/targets",
    "/healthz",
    "/readyz",
]


@pytest.mark.parametrize("path", ANSWERS)
async def test_answers_are_as_documented(
    stored: Served, browser: aiohttp.ClientSession, path: str
) -> None:
    """
    Every answer has the form the document gives it.
    """
    stored.say("one", "two", "three")
    stored.answered(10.0, 20.0)
    at, job = time.time(), {"job": "mail", "outcome": "success"}
    stored.offer(
        [Request(at, "shop", "GET", "/", 500, 1.0, TRACE, error=ERROR)],
        [Log(at, "shop", "ERROR", "no", "shop", TRACE, error=ERROR)],
        [Metric(at, "job.duration", 5.0, "shop", "histogram", "ms", job)],
        spans=[Span(at, "shop", TRACE, "a" * 16, "buy", 1.0, "b" * 16, error=ERROR)],
        annotations=[Annotation(at, "1.8.2", "shop", "deploy", attributes={"n": "1"})],
    )
    stored.read("main", "redis")
    stored.sample("redis.keys", 12.0, target="main")
    await stored.settled()
    written = document(ROUTES, "", False)

    async with browser.get(stored.address(path)) as answer:
        assert answer.status == 200
        found = await answer.json()

    templates = {f"/api/v1/charts/{name}": "/api/v1/charts/{chart}" for name in CHARTS}
    for traces in (TRACES, "/api/v1/traces"):
        templates[f"{traces}/{TRACE}"] = f"{traces}/{{trace_id}}"
    templates[f"/api/v1/errors/{fingerprint(ERROR)}"] = "/api/v1/errors/{error_id}"
    bare = path.partition("?")[0]
    template = templates.get(bare, bare)
    schema = written["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
    check(found, schema["schema"] | {"components": written["components"]})


@pytest.mark.parametrize("path", ["/api/nope", "/api/v1/logs?limit=x"])
async def test_refusals_are_as_documented(
    served: Served, browser: aiohttp.ClientSession, path: str
) -> None:
    """
    Every refusal has the one form of all refusals.
    """
    async with browser.get(served.address(path)) as answer:
        found = await answer.json()

    components = document(ROUTES, "", False)["components"]
    check(found, components["schemas"]["Failure"] | {"components": components})


def check(found: Any, schema: dict[str, Any]) -> None:
    jsonschema.validate(found, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
def test_every_route_is_in_the_manual(path: str) -> None:
    """
    What a person reads about the API names every path there is.
    """
    manual = Path(__file__).parents[2] / "docs" / "api.md"

    assert f"`{path}`" in manual.read_text(encoding="utf-8")
