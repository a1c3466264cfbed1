"""Who may bind, and which Host headers a listener answers to."""

import pytest

from monitord.errors import SettingsError
from monitord.listen import allowed_host, check_bind, is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"], ids=str
)
def test_loopback_needs_no_token(host: str) -> None:
    """An address of this machine alone may be bound without a token."""
    assert is_loopback(host)

    check_bind(host, has_token=False, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.1.2.3", "monitord.internal"], ids=repr)
def test_reachable_bind_without_token_is_refused(host: str) -> None:
    """Without a token an address others can reach is refused, with the keys that mend it."""
    with pytest.raises(SettingsError, match=r"^ingest\.host: .* ingest\.tokens; .* insecure: true"):
        check_bind(host, has_token=False, insecure=False, key="ingest")

    check_bind(host, has_token=True, insecure=False, key="ingest")
    check_bind(host, has_token=False, insecure=True, key="ingest")


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("127.0.0.1:9125", True),
        ("localhost:9125", True),
        ("LocalHost:9125", True),
        ("localhost.:9125", True),
        ("[::1]:9125", True),
        ("monitord", True),
        ("monitord:443", True),
        ("MONITORD.:9125", True),
        ("board.example:8443", True),
        ("board.example", False),
        ("board.example:8444", False),
        ("[fd00::7]:9125", True),
        ("localhost:1", False),
        ("localhost", False),
        ("127.0.0.1.evil.example:9125", False),
        ("evil.example", False),
        ("evil.example:9125", False),
        ("monitord.evil.example:9125", False),
        ("[::1", False),
        ("[::1]x", False),
        ("::1:9125", False),
        ("localhost:9125:9125", False),
        ("localhost:٩125", False),
        ("localhost:", False),
        (":9125", False),
        ("", False),
        (None, False),
    ],
)
def test_host_header(header: str | None, allowed: bool) -> None:
    """Loopback needs the right port; a configured name its own port, if it has one."""
    names = ("monitord", "board.example:8443", "fd00::7")

    assert allowed_host(header, names, 9125) is allowed


def test_default_port_may_be_left_out() -> None:
    """On port 80 and 443 clients leave the port out of the header."""
    assert allowed_host("localhost", (), 443)
    assert not allowed_host("localhost", (), 9120)
