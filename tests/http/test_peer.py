"""Who asks: the socket's address, or what a trusted proxy says."""

from ipaddress import ip_network

import pytest

from multidict import CIMultiDict

from monitord.http.peer import Peer, peer_of, same_origin


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("remote", "headers", "peer"),
    [
        ("192.0.2.7", {}, Peer("192.0.2.7", "http", "monitor.test")),
        (
            "192.0.2.7",
            {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "x"},
            Peer("192.0.2.7", "http", "monitor.test"),
        ),
        (
            "10.1.2.3",
            {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
            Peer("203.0.113.9", "https", "monitor.test"),
        ),
        ("10.1.2.3", {"X-Forwarded-Host": "mon.example"}, Peer("10.1.2.3", "http", "mon.example")),
        (
            "10.1.2.3",
            {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.9.9.9"},
            Peer("203.0.113.9", "http", "monitor.test"),
        ),
        (
            "10.1.2.3",
            {"X-Forwarded-For": "6.6.6.6, nonsense"},
            Peer("10.1.2.3", "http", "monitor.test"),
        ),
        ("::1", {"X-Forwarded-For": "2001:db8::5"}, Peer("2001:db8::5", "http", "monitor.test")),
        (
            "::ffff:10.1.2.3",
            {"X-Forwarded-For": "203.0.113.9"},
            Peer("203.0.113.9", "http", "monitor.test"),
        ),
        ("10.1.2.3", {"X-Forwarded-Proto": "gopher"}, Peer("10.1.2.3", "http", "monitor.test")),
    ],
)
def test_peer(remote: str, headers: dict[str, str], peer: Peer) -> None:
    """
    Forwarded headers count only from a trusted proxy, and only as far as trusted ones wrote them.
    """
    sent = CIMultiDict({"Host": "monitor.test", **headers})

    assert peer_of(remote, "http", sent, TRUSTED) == peer


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://mon.example"}, False),
        ({"Origin": "https://mon.example"}, True),
        ({"Origin": "https://MON.example"}, True),
        ({"Origin": "http://mon.example"}, False),
        ({"Origin": "https://mon.example:444"}, False),
        ({"Origin": "https://mon.example.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://[bad"}, False),
        ({}, None),
    ],
)
def test_same_origin(headers: dict[str, str], own: bool | None) -> None:
    """
    A browser's word where a request comes from decides; no word is told apart from a wrong one.
    """
    peer = Peer("192.0.2.7", "https", "mon.example")

    assert same_origin(CIMultiDict(headers), peer) is own
