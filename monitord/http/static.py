"""
The page's own files, `web/dist`, as a fixed map in memory: a name is looked up or it is not there.

Nothing of a request ever becomes a path, so there is nothing to climb out of.
"""

from __future__ import annotations

import hashlib
import re

from collections.abc import Mapping
from pathlib import Path

import msgspec

from aiohttp import web
from msgspec import Struct

from monitord.errors import AssetError


MANIFEST = "manifest.json"
ENCODINGS = {"br": ".br", "gzip": ".gz"}

# A hash of eight or more digits or letters before the ending: the content never changes.
_HASHED = re.compile(r"[.-][0-9A-Za-z]{8,}\.[0-9a-z.]+$")

TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
    ".json": "application/json",
    ".map": "application/json",
}
FOREVER = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"


class Asset(Struct, frozen=True):
    """One file: its type, whether its name changes with its content, and its body per encoding."""

    content_type: str
    forever: bool
    bodies: Mapping[str, bytes]
    digest: str


class Assets(Struct, frozen=True):
    """All files by name, and the name each logical name (`page.js`) has in this build."""

    files: Mapping[str, Asset]
    names: Mapping[str, str]


def load(folder: Path) -> Assets:
    """Read the folder. Raises AssetError: no readable manifest, or a file of it is missing."""
    try:
        names = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError) as error:
        raise AssetError(f"{folder / MANIFEST}: {error}") from error
    files = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in TYPES}
    files.pop(MANIFEST, None)
    for logical, name in names.items():
        if name not in files:
            raise AssetError(f"{folder / MANIFEST}: {logical} is {name!r}, which is not there")
    return Assets(files, names)


def _read(path: Path) -> Asset:
    plain = path.read_bytes()
    bodies = {"identity": plain}
    for encoding, ending in ENCODINGS.items():
        packed = path.with_name(path.name + ending)
        if packed.is_file():
            bodies[encoding] = packed.read_bytes()
    return Asset(
        content_type=TYPES[path.suffix],
        forever=bool(_HASHED.search(path.name)),
        bodies=bodies,
        digest=hashlib.sha256(plain).hexdigest()[:32],
    )


def response(request: web.Request, asset: Asset) -> web.Response:
    """Return the file in the best encoding the client takes, or that it has it already."""
    encoding = choose(request.headers.get("Accept-Encoding", ""), asset.bodies)
    etag = asset.digest if encoding == "identity" else f"{asset.digest}-{encoding}"
    headers = {
        "Cache-Control": FOREVER if asset.forever else REVALIDATE,
        "ETag": f'"{etag}"',
        "Vary": "Accept-Encoding",
    }
    known = request.if_none_match or ()
    if any(tag.value in (etag, "*") for tag in known):
        return web.Response(status=304, headers=headers)
    if encoding != "identity":
        headers["Content-Encoding"] = encoding
    charset = "utf-8" if asset.content_type.startswith(("text/", "application/json")) else None
    return web.Response(
        body=asset.bodies[encoding],
        headers=headers,
        content_type=asset.content_type,
        charset=charset,
    )


def choose(accept: str, offered: Mapping[str, bytes]) -> str:
    """
    Return the encoding with the highest q-value; of equals the smaller body (RFC 9110, 12.5.3).

    An encoding that is not named is out, unless by `*`; plain is in unless it is excluded.
    """
    asked = dict(_quality(part) for part in accept.lower().split(",") if part.strip())
    rest = asked.get("*")
    plain = asked.get("identity", 1e-9 if rest is None else rest)
    weights = {name: asked.get(name, rest or 0.0) for name in offered} | {"identity": plain}
    best = max(offered, key=lambda name: (weights[name], -len(offered[name])))
    return best if weights[best] else "identity"


def _quality(part: str) -> tuple[str, float]:
    name, _, parameters = part.partition(";")
    match = re.fullmatch(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", parameters)
    if match is None:
        return name.strip(), 0.0 if parameters.strip() else 1.0
    return name.strip(), float(match[1])
