"""`/api/v1/annotations`: the marks of a window, and who may make one of what."""

from __future__ import annotations

import json
import time

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitord.http.itself import itself
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.spool.spool import open_spool
from monitord.intake.window import Window
from monitord.model import Annotation
from monitord.settings import Secret
from tests.http.conftest import Serve, Served


PATH = "/api/v1/annotations"
OWN = {"Sec-Fetch-Site": "same-origin"}


async def get(served: Served, browser: aiohttp.ClientSession, query: str = "") -> Any:
    async with browser.get(served.address(PATH + query)) as answer:
        assert answer.status == 200
        return await answer.json()


async def post(
    served: Served,
    browser: aiohttp.ClientSession,
    body: Any,
    status: int = 201,
    headers: dict[str, str] | None = None,
) -> Any:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"}
    async with browser.post(
        served.address(PATH), data=sent, headers=kind | (OWN if headers is None else headers)
    ) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def test_annotations_of_a_window(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    The newest comes first; with a service it is those of it, and those of none; it is said when
    there are more.
    """
    at = time.time() - 60
    stored.offer(
        annotations=[
            Annotation(at, "1.8.2", "shop", "deploy", "by Ada", attributes={"version": "1.8.2"}),
            Annotation(at + 1, "fuse blown"),
            Annotation(at + 2, "2.0", "cart", "deploy"),
        ]
    )
    await stored.settled()

    found = await get(stored, browser)

    assert [one["title"] for one in found["annotations"]] == ["2.0", "fuse blown", "1.8.2"]
    assert found["annotations"][2] == {
        "id": found["annotations"][2]["id"],
        "time": pytest.approx(at),
        "title": "1.8.2",
        "service": "shop",
        "kind": "deploy",
        "text": "by Ada",
        "attributes": {"version": "1.8.2"},
    }
    assert found["cut"] is False
    cut = await get(stored, browser, "?service=shop&limit=1")
    assert [one["title"] for one in cut["annotations"]] == ["fuse blown"]
    assert cut["cut"] is True


async def test_made_by_a_person(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    An annotation is answered as it was taken once it is safe, and is there when it is stored; it
    counts as an event that came by HTTP, so that everything adds up.
    """
    before = time.time()
    written = {"title": "1.8.2", "kind": "Deploy", "service": "shop", "attributes": {"n": 1}}

    taken = await post(stored, browser, written)
    await stored.settled()

    assert before <= taken["time"] <= time.time()
    assert (taken["title"], taken["kind"], taken["text"]) == ("1.8.2", "deploy", "")
    assert taken["attributes"] == {"n": "1"}
    [one] = (await get(stored, browser))["annotations"]
    assert {name: one[name] for name in taken} == taken | {"time": pytest.approx(taken["time"])}
    ledgers = {ledger.id: ledger for ledger in itself(stored.ports).ledgers}
    assert (ledgers["decoded"].left.total, ledgers["decoded"].difference) == (1, 0)
    assert ledgers["kept"].difference == 0


async def test_the_time_of_it(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A time is Unix seconds or RFC 3339; one that is long ago is brought to where events are taken.
    """
    at = float(int(time.time()) - 600)
    text = datetime.fromtimestamp(at, UTC).isoformat()

    assert (await post(served, browser, {"title": "a", "time": at}))["time"] == at
    assert (await post(served, browser, {"title": "b", "time": text}))["time"] == at
    late = await post(served, browser, {"title": "c", "time": 1})
    assert late["time"] == pytest.approx(time.time() - 3_600, abs=60)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "title: missing"),
        ({"title": ""}, "title: expected str of length >= 1, got ''"),
        ({"title": 5}, "title: expected str, got int"),
        ({"title": "a", "titel": "b"}, "titel: unknown field; known are attributes, id, kind,"),
        ({"title": "a", "type": "log"}, "type: expected annotation"),
        ({"title": "a", "time": "noon"}, "time: expected Unix seconds or RFC 3339"),
        ({"title": "a", "attributes": []}, "attributes: expected object, got"),
        ({"title": "a", "service": "x" * 1_001}, "service: expected at most 1000 characters"),
        ([], "expected an object, got an array"),
        (b"", "not JSON: "),
        (b"{'title'}", "not JSON: "),
        (b"[" * 60_000, "expected at most 32 levels of nesting"),
        (b'{"title": "a", "time": NaN}', "not JSON: "),
    ],
)
async def test_what_is_no_annotation(
    served: Served, browser: aiohttp.ClientSession, body: Any, sentence: str
) -> None:
    """
    What breaks a rule of events is 400 with one sentence, and nothing is taken.
    """
    refused = await post(served, browser, body, 400)

    assert refused["error"]["message"].startswith(sentence)
    assert served.spool.backlog.events == 0


async def test_hostile_text(stored: Served, browser: aiohttp.ClientSession) -> None:
    """
    What cannot be stored of a text is replaced, and bytes that are no UTF-8 too.
    """
    taken = await post(stored, browser, b'{"title": "a\\u0000b\\ud800c\xff"}')
    await stored.settled()

    assert taken["title"] == "a\ufffdb\ufffdc\ufffd"
    [one] = (await get(stored, browser))["annotations"]
    assert one["title"] == taken["title"]


async def test_too_long(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    A body above 64 KiB is 413.
    """
    await post(served, browser, {"title": "a", "text": "x" * 65_536}, 413)


async def test_only_json(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    What a form could send from anywhere is 415.
    """
    async with browser.post(
        served.address(PATH), data=b'{"title": "a"}', headers=OWN | {"Content-Type": "text/plain"}
    ) as answer:
        assert answer.status == 415


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}],
    ids=["none", "fetch", "origin"],
)
async def test_foreign_pages(
    served: Served, browser: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """
    Another site's page makes no mark, nor does who says nothing and brings no token.
    """
    await post(served, browser, {"title": "a"}, 403, headers)

    assert served.spool.backlog.events == 0


async def test_who_may(serve: Serve, browser: aiohttp.ClientSession) -> None:
    """
    A change needs the scope admin: a token for reading is 403, none is 401.
    """
    web = {"read_tokens": (Secret("r" * 32),), "admin_tokens": (Secret("a" * 32),)}
    async with serve(web) as served:
        for token, status in ((None, 401), ("r" * 32, 403), ("a" * 32, 201)):
            headers = {"Authorization": f"Bearer {token}"} if token else OWN
            await post(served, browser, {"title": "a"}, status, headers)

        assert served.spool.backlog.events == 1


async def test_the_store_being_down(served: Served, browser: aiohttp.ClientSession) -> None:
    """
    While the store is down marks are taken all the same; to read them is 503.
    """
    await post(served, browser, {"title": "a"})

    async with browser.get(served.address(PATH)) as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers


async def test_no_room(serve: Serve, browser: aiohttp.ClientSession, tmp_path: Path) -> None:
    """
    What is not taken is said, with when to come again.
    """
    async with open_spool(tmp_path / "closed", 1) as closed:
        intake = Intake(closed, Window(), Bus())
    async with serve(parts={"intake": intake}) as served:
        refused = await post(served, browser, {"title": "a"}, 503)

    assert refused["error"]["message"] == "monitord is stopping; nothing was taken"
