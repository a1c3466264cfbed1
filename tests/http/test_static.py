"""The page's files in memory: which encoding goes out, and what is known already."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from monitord.errors import AssetError
from monitord.http import static
from monitord.http.static import choose


OFFERED = {"identity": b"x" * 100, "br": b"x" * 20, "gzip": b"x" * 30}


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", "identity"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("GZIP", "gzip"),
        ("*", "br"),
        ("*;q=0.1, identity", "identity"),
        ("br;q=0, *", "gzip"),
        ("*;q=0", "identity"),
        ("identity;q=0", "identity"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("br ; q = 0.9", "br"),
        ("br;q=nonsense, gzip;q=0.1", "gzip"),
        ("br;q=1.5", "identity"),
        ("zstd", "identity"),
        (",,;q=1,", "identity"),
    ],
)
def test_choose(accept: str, encoding: str) -> None:
    """
    The encoding the client prefers, the smallest of those it likes equally, plain as the last.
    """
    assert choose(accept, OFFERED) == encoding


def test_plain_only() -> None:
    """
    A file that was not packed goes out as it is.
    """
    assert choose("br, gzip", {"identity": b"x"}) == "identity"


def built(folder: Path, manifest: object, *names: str) -> Path:
    for name in names:
        (folder / name).write_bytes(b"content of " + name.encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_load(tmp_path: Path) -> None:
    """
    Files are held by name, with their encodings; what has a hash in its name is for ever.
    """
    folder = built(
        tmp_path,
        {"app.js": "app-EDFUROFN.js"},
        "app-EDFUROFN.js",
        "app-EDFUROFN.js.br",
        "favicon.svg",
        ".sources",
        "build.mjs",
    )
    (folder / "licenses").mkdir()

    found = static.load(folder)

    assert sorted(found.files) == ["app-EDFUROFN.js", "favicon.svg"]
    assert found.names == {"app.js": "app-EDFUROFN.js"}
    script, icon = found.files["app-EDFUROFN.js"], found.files["favicon.svg"]
    assert (script.content_type, script.forever) == ("text/javascript", True)
    assert script.bodies == {
        "identity": b"content of app-EDFUROFN.js",
        "br": b"content of app-EDFUROFN.js.br",
    }
    assert (icon.content_type, icon.forever) == ("image/svg+xml", False)


@pytest.mark.parametrize("manifest", [None, "{", '{"app.js": "app-1.js"}', "[]"])
def test_broken(tmp_path: Path, manifest: str | None) -> None:
    """
    A folder that was not built, or not wholly, is refused at the start.
    """
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)

    with pytest.raises(AssetError, match=r"manifest\.json"):
        static.load(tmp_path)
