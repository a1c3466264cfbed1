"""docs/emit.md says what is so: its examples run as they stand, and do what is said of them."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from tests.emit.receiver import Receiver
from tests.emit.test_process import script


TEXT = (Path(__file__).parents[2] / "docs" / "emit.md").read_text(encoding="utf-8")
# The section "Hooks" has tests of its own.
SHOWN = TEXT.partition("\n## Hooks\n")[0]
EXAMPLES = re.findall(r"```python\n(.*?)```", SHOWN, re.DOTALL)

ASGI = """
import asyncio, aiohttp
from tests.emit.receiver import serving
async def main():
    async with serving(app) as url, aiohttp.ClientSession() as session:
        async with session.get(f"{url}/orders/17") as reply:
            assert (await reply.json())["number"] == 17
asyncio.run(main())
"""
FLASK = """
from tests.emit.wsgi import get, serving
with serving(app) as port:
    assert get(port, "/orders/17")[0] == 200
"""
DJANGO = """
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from tests.emit.wsgi import get, serving
def order(request, number):
    with emit.span("price order"):
        return JsonResponse({"number": number})
urlpatterns = [path("orders/<int:number>", order)]
settings.configure(MIDDLEWARE=MIDDLEWARE, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
django.setup()
with serving(get_wsgi_application()) as port:
    assert get(port, "/orders/17")[0] == 200
"""
AIOHTTP = """
import aiohttp, asyncio
async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/orders/17") as reply:
            assert await reply.json() == {"number": "17"}
    await runner.cleanup()
asyncio.run(main())
"""
JOB = """
import asyncio
assert asyncio.run(send_mail(17)) == "your order 17"
"""
STARLETTE = """
from starlette.applications import Starlette
app = Starlette()
"""
NUMBERS = """
import logging as log
class httpx:
    @staticmethod
    def get(url, headers):
        assert headers["traceparent"].startswith("00-")
url = ""
"""


def example(holds: str) -> str:
    """Return the one example that holds the text."""
    [found] = [text for text in EXAMPLES if holds in text]
    return str(found)


@pytest.mark.parametrize(
    ("holds", "server"),
    [
        ("from fastapi", ASGI),
        ("from flask", FLASK),
        ("MIDDLEWARE", DJANGO),
        ("from aiohttp", AIOHTTP),
    ],
)
def test_frameworks(receiver: Receiver, holds: str, server: str) -> None:
    """
    Pasted and served, each records a request under its route, the span in it, and the deploy.
    """
    script(example(holds) + server, receiver.address)

    [request] = receiver.wait("request")
    spans = {span["name"]: span for span in receiver.wait("span", 2)}
    assert (request["service"], request["status"]) == ("shop", 200)
    assert request["route"] == "/orders/{number}"
    assert spans["price order"]["parent_id"] == request["span_id"]
    assert spans["GET /orders/{number}"]["span_id"] == request["span_id"]
    assert [mark["title"] for mark in receiver.events("annotation")] == ["1.8.2"]


def test_a_job(receiver: Receiver) -> None:
    """
    A run is an observation and a span, on which those within it hang.
    """
    script(example("@emit.job") + JOB, receiver.address)

    [metric] = receiver.wait("metric")
    spans = {span["name"]: span for span in receiver.wait("span", 2)}
    assert metric["attributes"] == {"job": "send mail", "outcome": "success"}
    assert spans["render"]["parent_id"] == spans["send mail"]["span_id"]


@pytest.mark.parametrize(
    ("holds", "use"),
    [
        ("logging.getLogger()", 'logging.getLogger("x").error("hello")'),
        ("structlog", 'structlog.get_logger().error("hello")'),
        ("loguru", 'logger.error("hello")'),
    ],
)
def test_logs(receiver: Receiver, holds: str, use: str) -> None:
    """
    Each library's line arrives.
    """
    # What the libraries print themselves is theirs.
    quiet = "import io, sys\nsys.stdout = sys.stderr = io.StringIO()\n"

    script(quiet + example(holds) + use, receiver.address)

    assert receiver.wait("log")[0]["message"] == "hello"


def test_three_lines() -> None:
    """
    They are enough for an application that exists.
    """
    script(STARLETTE + example("or MONITORD_ADDRESS") + "app.build_middleware_stack()")


def test_numbers_and_spans(receiver: Receiver) -> None:
    """
    The other examples record what they show.
    """
    script(NUMBERS + example("orders.placed"), receiver.address)
    script(example("charge card"), receiver.address)

    assert {line["name"] for line in receiver.wait("metric", 3)} == {
        "orders.placed",
        "queue.depth",
        "order.total",
    }
    charged, loaded = receiver.wait("span", 2)
    assert charged["attributes"] == {"shop.id": "s1", "card.brand": "visa"}
    assert (loaded["name"], loaded["kind"]) == ("load cart", "client")


def test_every_example_is_run() -> None:
    """
    None is shown that no test here runs.
    """
    assert len(EXAMPLES) == 11
