"""The page's files over HTTP, and what is not one of them."""

from __future__ import annotations

import aiohttp
import pytest

from tests.http.conftest import Served
from tests.http.test_border import head, request


@pytest.fixture
def script(served: Served) -> str:
    return served.ports.assets.names["app.js"]


@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
async def test_encodings(
    served: Served, browser: aiohttp.ClientSession, script: str, encoding: str
) -> None:
    """
    A file goes out packed as the client asked, with an ETag of its own, for ever.
    """
    headers = {"Accept-Encoding": encoding}
    async with browser.get(served.address(f"/assets/{script}"), headers=headers) as answer:
        body = await answer.read()

        assert answer.status == 200
        assert answer.headers.get("Content-Encoding", "identity") == encoding
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert body == served.ports.assets.files[script].bodies[encoding]


async def test_etags(served: Served, browser: aiohttp.ClientSession, script: str) -> None:
    """
    What the client has is not sent again; each encoding is known by a tag of its own.
    """
    address = served.address(f"/assets/{script}")
    tags = []
    for encoding in ("br", "gzip", "identity"):
        async with browser.get(address, headers={"Accept-Encoding": encoding}) as answer:
            tags.append(answer.headers["ETag"])

    assert len(set(tags)) == 3
    for known, status in [
        (tags[0], 304),
        (f'"x", {tags[0]}', 304),
        (f"W/{tags[0]}", 304),
        ("*", 304),
        (tags[1], 200),
    ]:
        headers = {"Accept-Encoding": "br", "If-None-Match": known}
        async with browser.get(address, headers=headers) as answer:
            assert answer.status == status
            assert answer.headers["ETag"] == tags[0]


async def test_head(served: Served, browser: aiohttp.ClientSession, script: str) -> None:
    """
    HEAD says how long the packed file is, and sends none of it.
    """
    address, headers = served.address(f"/assets/{script}"), {"Accept-Encoding": "br"}
    async with browser.head(address, headers=headers) as answer:
        body = served.ports.assets.files[script].bodies["br"]

        assert answer.headers["Content-Length"] == str(len(body))
        assert await answer.read() == b""


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/manifest.json",
        "/assets/.sources",
        "/assets/licenses",
        "/assets/licenses/echarts.txt",
        "/assets/../config/defaults.yaml",
        "/assets/..",
        "/assets/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/%2e%2e%2fpyproject.toml",
        "/assets/..%2f..%2fpyproject.toml",
        "/assets/..%5c..%5cpyproject.toml",
        "/assets/%252e%252e%252fpyproject.toml",
        "/assets/....//....//pyproject.toml",
        "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd",
        "//etc/passwd",
        "/assets/%00",
        "/assets/SCRIPT%00.txt",
        "/assets/SCRIPT/",
        "/assets/SCRIPT.br",
        "/assets/%c0%ae%c0%ae/passwd",
        "/templates/page.html",
        "/../../etc/passwd",
    ],
)
async def test_no_way_out(served: Served, script: str, path: str) -> None:
    """
    Only names of the map are served; nothing in a request is ever a path on the disk.
    """
    raw = request(path.replace("SCRIPT", script), f"Host: {served.host}")

    status, headers, body = head(await served.send(raw))

    assert status in (400, 404)
    assert b"root:" not in body
    assert b"[project]" not in body
    assert "immutable" not in headers.get("cache-control", "")
