"""Tokens, sessions and the key they are signed with."""

import os
import stat

from pathlib import Path

import pytest

from multidict import CIMultiDict

from monitord.errors import MonitordError
from monitord.http.auth import COOKIE, Gate, Identity, Scope, Throttled, local_path
from monitord.http.sessions import KEY_FILE, Sessions, session_key
from monitord.http.throttle import Throttle
from monitord.settings import Secret, Web


READ, ADMIN = "read-token-0123456789", "admin-token-0123456789"
WEB = Web(read_tokens=(Secret(READ),), admin_tokens=(Secret(ADMIN),), session=3_600)
HERE = "192.0.2.7"


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_459_200.0

    def __call__(self) -> float:
        return self.now


def gate(web: Web = WEB, clock: Clock | None = None, key: bytes = b"k" * 32) -> Gate:
    return Gate(web, key, clock or Clock(), Throttle(limit=3))


def bearer(*tokens: str) -> CIMultiDict[str]:
    return CIMultiDict([("Authorization", f"Bearer {token}") for token in tokens])


def identify(found: Gate, *tokens: str, cookie: str = "") -> Identity:
    return found.identify(bearer(*tokens), {COOKIE: cookie} if cookie else {}, HERE)


def test_open_without_tokens() -> None:
    """
    Where no token is set everybody may do everything; the settings allow that on loopback only.
    """
    found = gate(Web())

    assert not found.closed
    assert identify(found).scope is Scope.ADMIN


@pytest.mark.parametrize(
    ("token", "scope"),
    [
        (READ, Scope.READ),
        (ADMIN, Scope.ADMIN),
        (READ + "x", Scope.OPEN),
        (READ[:-1], Scope.OPEN),
        ("", Scope.OPEN),
        ("é", Scope.OPEN),
        ("\udce9", Scope.OPEN),
        ("x" * 1_000_000, Scope.OPEN),
    ],
)
def test_bearer(token: str, scope: Scope) -> None:
    """
    A token has its scope and anything else has none, whatever its bytes and length.
    """
    assert identify(gate(), token).scope is scope


def test_two_headers_are_none() -> None:
    """
    Of two Authorization headers neither counts, and a good cookie does not mend that.
    """
    found = gate()
    cookie = found.log_in(READ, HERE) or ""

    assert identify(found, READ, ADMIN, cookie=cookie).scope is Scope.OPEN


def test_other_schemes_are_none() -> None:
    """
    A token in another scheme's clothes is no token.
    """
    headers = CIMultiDict({"Authorization": f"Basic {READ}"})

    assert gate().identify(headers, {}, HERE).scope is Scope.OPEN


def test_session() -> None:
    """
    Logging in gives a cookie with the token's scope, which does not contain the token.
    """
    found = gate()

    cookie = found.log_in(ADMIN, HERE)

    assert cookie is not None
    assert ADMIN not in cookie
    identity = identify(found, cookie=cookie)
    assert (identity.scope, identity.via) == (Scope.ADMIN, "cookie")


def test_session_ends() -> None:
    """
    A session counts for its time, not longer.
    """
    clock = Clock()
    found = gate(clock=clock)
    cookie = found.log_in(READ, HERE) or ""
    clock.now += 3_599
    before = identify(found, cookie=cookie)

    clock.now += 2

    assert before.scope is Scope.READ
    assert not found.still(before)
    assert identify(found, cookie=cookie).scope is Scope.OPEN


def test_log_out() -> None:
    """
    Who logs out is out, with every copy of the cookie; other sessions stay.
    """
    found = gate()
    cookie, other = found.log_in(READ, HERE) or "", found.log_in(READ, HERE) or ""
    identity = identify(found, cookie=cookie)

    found.log_out(identity)

    assert identify(found, cookie=cookie).scope is Scope.OPEN
    assert not found.still(identity)
    assert identify(found, cookie=other).scope is Scope.READ


def test_changed_cookies() -> None:
    """
    A cookie that was changed anywhere, or signed with another key, is none.
    """
    found = gate()
    cookie = found.log_in(READ, HERE) or ""
    changed = [
        cookie[:place] + ("0" if cookie[place] != "0" else "1") + cookie[place + 1 :]
        for place in range(len(cookie))
    ]
    foreign = gate(key=b"x" * 32).log_in(READ, HERE) or ""

    scopes = {identify(found, cookie=text).scope for text in [*changed, foreign, "x", "é", "."]}

    assert scopes == {Scope.OPEN}


def test_a_token_taken_back_ends_its_sessions() -> None:
    """
    When a token leaves the settings, what was begun with it ends; a restart alone ends nothing.
    """
    cookie = gate().log_in(READ, HERE) or ""

    assert identify(gate(), cookie=cookie).scope is Scope.READ
    other = Web(read_tokens=(Secret("another-token-0123456789"),), session=3_600)
    assert identify(gate(other), cookie=cookie).scope is Scope.OPEN


def test_throttle() -> None:
    """
    After too many wrong tokens even the right one waits, by header and by form; a session does not.
    """
    found = gate()
    cookie = found.log_in(READ, HERE) or ""
    for _ in range(3):
        identify(found, "wrong")

    with pytest.raises(Throttled) as caught:
        identify(found, READ)
    with pytest.raises(Throttled):
        found.log_in(READ, HERE)

    assert 0 < caught.value.seconds <= 60
    assert identify(found, cookie=cookie).scope is Scope.READ
    assert found.log_in(READ, "192.0.2.8") is not None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/?range=6h", "/?range=6h"),
        ("/ui/monitoring/advanced", "/ui/monitoring/advanced"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
    ],
)
def test_local_path(text: str, path: str) -> None:
    """
    After logging in one gets to our own pages and nowhere else.
    """
    assert local_path(text) == path


def test_key_is_made_once(tmp_path: Path) -> None:
    """
    The key is random, kept for the next start, and nobody else's to read.
    """
    first = session_key(tmp_path / "state")

    assert len(first) == 32
    assert session_key(tmp_path / "state") == first
    assert session_key(tmp_path / "other") != first
    assert stat.S_IMODE((tmp_path / "state" / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == [KEY_FILE]


def test_a_key_others_could_read_is_replaced(tmp_path: Path) -> None:
    """
    A key that was readable by others, or is damaged, signs nothing any more.
    """
    first = session_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    second = session_key(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(b"short")

    third = session_key(tmp_path)

    assert len({first, second, third}) == 3
    assert session_key(tmp_path) == third


def test_a_key_that_is_a_link(tmp_path: Path) -> None:
    """
    A link in the key's place is not followed.
    """
    (tmp_path / "elsewhere").write_bytes(b"e" * 32)
    os.symlink(tmp_path / "elsewhere", tmp_path / KEY_FILE)

    with pytest.raises(MonitordError, match="cannot be used"):
        session_key(tmp_path)


def test_revoked_sessions_are_bounded() -> None:
    """
    Logging out often does not add up.
    """
    sessions = Sessions(b"k" * 32, 3_600, Clock())
    newest = sessions.begin(b"digest")
    for _ in range(10_001):
        found = sessions.read(newest)
        assert found is not None
        sessions.end(found)
        newest = sessions.begin(b"digest")

    assert len(sessions._revoked) == 10_000
