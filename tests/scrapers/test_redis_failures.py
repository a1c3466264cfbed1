"""What a Redis target that does not answer, or answers nonsense, is told as."""

import asyncio
import socket
import ssl

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import trustme

from monitord.errors import SettingsError
from monitord.model import Reason, Scrape, ScrapeError
from monitord.scrapers.redis import RedisScraper
from monitord.scrapers.redis.address import parse
from monitord.scrapers.redis.connection import REPLY_LIMIT_BYTES
from monitord.scrapers.redis.refusals import denied_command
from monitord.settings import RedisTarget, Secret


Answering = Callable[..., AbstractAsyncContextManager[int]]

INFO = b"redis_version:7.0.0\r\nused_memory:5\r\nconnected_clients:1\r\n"
GOOD = b"$%d\r\n%b\r\n" % (len(INFO), INFO)


async def once(url: str) -> Scrape:
    scraper = RedisScraper(RedisTarget(name="main", url=Secret(url)))
    try:
        async with asyncio.timeout(10):
            return await scraper.scrape()
    finally:
        await scraper.close()


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (b"-NOAUTH Authentication required.\r\n", Reason.AUTH, "wants a password"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", Reason.LOADING, "loads its data"),
        (b"-BUSY Redis is busy running a script.\r\n", Reason.LOADING, "script"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Reason.LOADING, "lost its primary"),
        (b"-ERR max number of clients reached\r\n", Reason.REFUSED, "max number of clients"),
        (b"-DENIED Redis is running in protected mode\r\n", Reason.PERMISSION, "protected mode"),
        (b"-ERR strange\x1b[31m things\r\n", Reason.ERROR, "ERR strange [31m things"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Reason.PROTOCOL, "no Redis server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL, "no Redis server"),
        (b"", Reason.PROTOCOL, "closed the connection"),
        (b"*1\r\n$1\r\nx\r\n", Reason.PROTOCOL, "no Redis server"),
        (b"\r\n", Reason.PROTOCOL, "no Redis server"),
        (b"$-1\r\n", Reason.PROTOCOL, "no Redis server"),
        (b"$%d\r\n" % (REPLY_LIMIT_BYTES + 1), Reason.PROTOCOL, "the limit is"),
        (b"$99999999999999999999\r\n", Reason.PROTOCOL, "the limit is"),
        (b"+" + b"x" * 100_000, Reason.PROTOCOL, "no Redis server"),
        (b"$2\r\nhi\r\n", Reason.PROTOCOL, "INFO without a version"),
    ],
)
async def test_answers_that_are_no_numbers(
    answering: Answering, answer: bytes, reason: Reason, detail: str
):
    """
    Each error code and each kind of nonsense is a reason of its own, in printable words.
    """
    async with answering(answer) as port:
        with pytest.raises(ScrapeError) as caught:
            # Most speak up at the first command; for the rest, only INFO's answer matters.
            await once(f"redis://127.0.0.1:{port}/0")

    assert caught.value.reason is reason
    assert detail in caught.value.detail


async def test_a_renamed_client_command_costs_nothing_else(answering: Answering):
    """
    A server that has no CLIENT command is read all the same.
    """
    async with answering(b"-ERR unknown command 'CLIENT'\r\n" + GOOD) as port:
        scrape = await once(f"redis://127.0.0.1:{port}/0")

    assert [problem.reason for problem in scrape.problems] == [Reason.MISSING]
    assert {metric.name for metric in scrape.metrics} >= {"redis.memory.used_bytes"}


async def test_a_large_answer(answering: Answering):
    """
    An answer below the limit is read whole, however long; numbers at its end count.
    """
    padding = b"cmdstat_x:calls=1\r\n" * 150_000
    body = INFO + padding + b"evicted_keys:1\r\nmaxmemory:7\r\n"
    async with answering(b"$%d\r\n%b\r\n" % (len(body), body)) as port:
        found = await once(f"redis://127.0.0.1:{port}/0")

    assert len(body) > 2_500_000
    assert {metric.name: metric.value for metric in found.metrics}["redis.memory.max_bytes"] == 7


@pytest.mark.parametrize(
    ("text", "sent", "command"),
    [
        (
            "NOPERM this user has no permissions to run the 'info' command or its subcommand",
            "info",
            "info",
        ),
        (
            "NOPERM this user has no permissions to run the 'client' command or its subcommand",
            "client|setname",
            "client|setname",
        ),
        (
            "NOPERM User monitord has no permissions to run the 'client|setname' command",
            "client|setname",
            "client|setname",
        ),
        ("NOPERM for reasons of its own", "info", "info"),
        ("NOPERM 'rm -rf' command", "info", "info"),
    ],
)
def test_the_denied_command(text: str, sent: str, command: str):
    """
    Servers name the denied command in their own ways; the ACL rule is told in one.
    """
    assert denied_command(text, sent) == command


async def test_nothing_listens():
    """
    A closed port is refused, by number and by a name with two addresses.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(ScrapeError) as caught:
            await once(f"redis://{host}:{port}/0")
        assert caught.value.reason is Reason.REFUSED


async def test_a_name_that_does_not_exist():
    """
    A host name nobody knows is unreachable, and the name is told.
    """
    with pytest.raises(ScrapeError) as caught:
        await once("redis://no-such-host.invalid:6379/0")

    assert caught.value.reason is Reason.UNREACHABLE
    assert "no-such-host.invalid:6379" in caught.value.detail


async def test_a_socket_file_that_is_not_there(tmp_path: Path):
    """
    A missing unix socket is unreachable, and its path is told.
    """
    with pytest.raises(ScrapeError) as caught:
        await once(f"unix://{tmp_path}/redis.sock")

    assert caught.value.reason is Reason.UNREACHABLE
    assert f"{tmp_path}/redis.sock" in caught.value.detail


async def test_tls(answering: Answering, tmp_path: Path):
    """
    A server with TLS is read when its certificate is trusted, and told as such when not.
    """
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusting = f"?ssl_ca_certs={tmp_path}/ca.pem"

    async with answering(GOOD, ssl=context) as port:
        read = await once(f"rediss://127.0.0.1:{port}/0{trusting}")
        unchecked = await once(f"rediss://127.0.0.1:{port}/0?ssl_cert_reqs=none")
        with pytest.raises(ScrapeError) as untrusted:
            await once(f"rediss://127.0.0.1:{port}/0")
        with pytest.raises(ScrapeError) as plain:
            await once(f"redis://127.0.0.1:{port}/0")
    async with answering(GOOD) as port:
        with pytest.raises(ScrapeError) as no_tls:
            await once(f"rediss://127.0.0.1:{port}/0{trusting}")

    assert read.metrics
    assert unchecked.metrics
    assert "not trusted" in untrusted.value.detail
    for failure in (untrusted, plain, no_tls):
        assert failure.value.reason is Reason.PROTOCOL


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", "cache:6379"),
        ("redis://:pw@cache:1/3", "cache:1"),
        ("redis://[::1]:7000/0", "[::1]:7000"),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
def test_addresses(url: str, address: str):
    """
    An address names host and port, or a socket, and none of its secrets.
    """
    assert str(parse(RedisTarget(name="main", url=Secret(url)))) == address


def test_user_and_password_are_taken_apart():
    """
    User and password may hold any character, escaped; the address's own goes over the target's.
    """
    target = RedisTarget(
        name="main", url=Secret("redis://m%40x:p%2Fw@cache"), password=Secret("other")
    )

    address = parse(target)

    assert address.user == "m@x"
    assert address.password.reveal() == "p/w"


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://cache", "expected one of redis, rediss, unix, found 'http'"),
        ("redis://:s3cret@cache:port", "expected redis://HOST:PORT, found another form"),
        ("redis://cache?tls=yes", "unknown option 'tls'"),
        ("rediss://cache?ssl_cert_reqs=maybe", "expected required or none, found 'maybe'"),
        ("rediss://cache?ssl_ca_certs=/no/such/file", "certificates cannot be read"),
    ],
)
def test_addresses_nobody_can_use(url: str, rule: str):
    """
    A mistake names its key and the rule, and repeats no secret.
    """
    with pytest.raises(SettingsError) as caught:
        parse(RedisTarget(name="main", url=Secret(url)))

    assert str(caught.value).startswith("targets.redis.main.url: ")
    assert rule in str(caught.value)
    assert "s3cret" not in str(caught.value)
