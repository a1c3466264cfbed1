"""Django under real servers, WSGI and ASGI, each in a process of its own: it is set up but once."""

from __future__ import annotations

import textwrap

import pytest

from monitord.emit.django import template
from tests.emit.receiver import Receiver
from tests.emit.test_process import script


SITE = """
import asyncio, sys
from time import perf_counter_ns
import django
from django.conf import settings
from django.http import HttpResponse, Http404
from django.urls import include, path, re_path
from monitord import emit

settings.configure(
    SECRET_KEY="x",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["monitord.emit.django.middleware", "django.middleware.common.CommonMiddleware"],
    LOGGING_CONFIG=None,
)

def order(request, number):
    emit.record_span("SELECT", "client", perf_counter_ns())
    return HttpResponse(number)

async def slow(request, number):
    await asyncio.sleep(0.001)
    with emit.span("step"):
        return HttpResponse(number)

def broken(request, name):
    raise LookupError(name)

def missing(request):
    raise Http404

shop = [path("orders/<int:number>/", order), path("slow/<int:number>/", slow)]
urlpatterns = [
    path("shop/", include(shop)),
    re_path(r"^broken/(?P<name>[a-z]+(x|y)?)/$", broken),
    path("missing/", missing),
    path("healthz", missing),
]
django.setup()
import logging
logging.disable()
"""

WSGI = """
from django.core.wsgi import get_wsgi_application
from tests.emit.wsgi import get, serving

with serving(get_wsgi_application()) as port:
    for path in PATHS:
        found = get(port, path)
        assert "X-Trace-ID" in found[1] or path == "/healthz"
"""

ASGI = """
import aiohttp
from django.core.asgi import get_asgi_application
from tests.emit.receiver import serving

async def main():
    async with serving(get_asgi_application()) as url, aiohttp.ClientSession() as session:
        for path in PATHS:
            async with session.get(url + path) as reply:
                await reply.read()
                assert "X-Trace-ID" in reply.headers or path == "/healthz"

asyncio.run(main())
"""

PATHS = ["/shop/orders/17/", "/shop/slow/18/", "/broken/x/", "/missing/", "/none", "/healthz"]


@pytest.mark.parametrize("server", [WSGI, ASGI], ids=["wsgi", "asgi"])
def test_django(receiver: Receiver, server: str) -> None:
    """
    Each request is counted under its route; a view's exception is told though Django answers it.
    """
    code = f"{SITE}\nPATHS = {PATHS}\n{server}\nassert emit.default().flush(5)\n"

    script(textwrap.dedent(code), receiver.address)

    events = receiver.wait("request", 5)
    assert [(event["route"], event["status"]) for event in events] == [
        ("/shop/orders/{number}/", 200),
        ("/shop/slow/{number}/", 200),
        ("/broken/{name}/", 500),
        ("/missing/", 404),
        ("__unmatched__", 404),
    ]
    assert [event.get("error", {}).get("message") for event in events] == [
        *(None, None),
        "x",
        *(None, None),
    ]
    assert events[2]["error"]["frames"][-1]["function"] == "broken"
    spans = {span["name"]: span for span in receiver.wait("span", 4)}
    assert spans["SELECT"]["parent_id"] == events[0]["span_id"]
    assert spans["step"]["parent_id"] == events[1]["span_id"]
    assert spans["GET /shop/slow/{number}/"]["span_id"] == events[1]["span_id"]


def test_a_failed_request_is_gone_when_it_is_over() -> None:
    """
    What a request held whose view failed is freed at once, without the garbage collector.
    """
    code = """
import gc, weakref
from django.http import HttpRequest
from monitord.emit.django import middleware

held = []

def fails(request):
    held.append(weakref.ref(request))
    try:
        raise LookupError("x")
    except LookupError as raised:
        served.process_exception(request, raised)
    return HttpResponse("x", status=500)

def request():
    made = HttpRequest()
    made.method = "GET"
    return made

served = middleware(fails)
gc.disable()
served(request())
assert [reference() for reference in held] == [None]
"""
    script(textwrap.dedent(f"{SITE}\n{code}"), "off")


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("orders/<int:id>/", "orders/{id}/"),
        ("<slug>/x", "{slug}/x"),
        (r"^orders/(?P<id>[0-9]+)/$", "orders/{id}/"),
        (r"^a/(?P<x>(b|c)+\))/(?P<y>\d{2})\Z", "a/{x}/{y}"),
        ("shop/^old/(?P<id>.*)$", "shop/old/{id}"),
        ("", ""),
    ],
)
def test_templates(route: str, expected: str) -> None:
    """
    Both of Django's spellings of a route make the same kind of label.
    """
    assert template(route) == expected
