"""Commands of redis-py against Valkey: their spans, and what is counted as hit and as miss."""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Iterator

import pytest
import redis
import redis.asyncio

from monitord.emit import Emitter
from monitord.emit.hooks import watch_redis
from monitord.emit.hooks.keys import MOST_TYPES, KeyTypes
from tests.emit.hooks.sent import counted, spans
from tests.emit.receiver import Receiver


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    redis-py is watched; keys that begin with `s-` are sessions.
    """
    undo = watch_redis(emitter, types={"s-*": "session"})
    yield
    undo()


@pytest.fixture
def client(valkey: str) -> Iterator[redis.Redis]:
    """
    A client of an empty server.
    """
    with redis.Redis.from_url(valkey) as own:
        own.ping()
        yield own


@pytest.mark.usefixtures("watched")
def test_commands(client: redis.Redis, emitter: Emitter, receiver: Receiver) -> None:
    """
    A span is named after the command and the type of its key; neither key nor value is in it.
    """
    with emitter.span("page") as page:
        assert client.get("cart:17") is None
        assert client.set("cart:17", "secret")
        assert client.get("cart:17") == b"secret"
        assert client.get("s-424242") is None
        assert client.ping()
        assert client.incr("visits") == 1

    *commands, _ = spans(emitter, receiver)
    assert [command["name"] for command in commands] == [
        "GET cart",
        "SET cart",
        "GET cart",
        "GET session",
        "PING",
        "INCRBY other",
    ]
    hits = [command["attributes"].get("cache.hit") for command in commands]
    assert hits == [False, None, True, False, None, None]
    assert {command["parent_id"] for command in commands} == {page.span_id}
    assert commands[0]["kind"] == "client"
    attributes = commands[0]["attributes"]
    assert attributes.pop("server.address")
    attributes.pop("server.port", None)
    assert attributes == {
        "db.system.name": "redis",
        "db.namespace": "0",
        "db.operation.name": "GET",
        "cache.type": "cart",
        "cache.hit": False,
    }
    assert "secret" not in str(commands)
    assert "424242" not in str(commands)


@pytest.mark.usefixtures("watched")
def test_hits_and_misses(client: redis.Redis, emitter: Emitter, receiver: Receiver) -> None:
    """
    They are counted by type, outside of any trace as well, and each key or field for itself.
    """
    client.set("cart:1", "a")
    client.hset("user:1", mapping={"name": "eve"})
    client.get("cart:1")
    client.get("cart:2")
    client.mget(["cart:1", "cart:2", "user:9"])
    client.hget("user:1", "name")
    client.hmget("user:1", ["name", "mail", "phone"])
    client.hgetall("user:1")
    client.hgetall("user:2")
    client.getex("s-1")
    client.getdel("cart:1")
    watch_redis(emitter)()  # tells of what it has counted so far

    assert counted(emitter, receiver) == {
        ("cache.hits", "cart"): 3,
        ("cache.misses", "cart"): 2,
        ("cache.hits", "user"): 3,
        ("cache.misses", "user"): 4,
        ("cache.misses", "session"): 1,
    }
    assert spans(emitter, receiver) == []


@pytest.mark.usefixtures("watched")
def test_pipelines(client: redis.Redis, emitter: Emitter, receiver: Receiver) -> None:
    """
    A pipeline is one span, whose look-ups are counted one by one; its answers are what they were.
    """
    client.set("cart:1", "a")
    with emitter.span("page"):
        pipeline = client.pipeline(transaction=False).get("cart:1").get("cart:2")
        assert pipeline.execute() == [b"a", None]
        assert client.pipeline().set("cart:3", "b").get("cart:3").execute() == [True, b"b"]
        assert client.pipeline().execute() == []
        with client.pipeline() as watching:
            watching.watch("cart:3")
            assert watching.get("cart:3") == b"b"
    watch_redis(emitter)()

    found = [span for span in spans(emitter, receiver) if span["name"] != "page"]
    names = [span["name"] for span in found]
    assert names[:4] == ["PIPELINE GET", "MULTI", "WATCH cart", "GET cart"]
    assert [span["attributes"].get("db.operation.batch.size") for span in found[:2]] == [2, 2]
    assert counted(emitter, receiver) == {
        ("cache.hits", "cart"): 3,
        ("cache.misses", "cart"): 1,
    }


@pytest.mark.usefixtures("watched")
async def test_asyncio(valkey: str, emitter: Emitter, receiver: Receiver) -> None:
    """
    The same holds for asyncio's clients.
    """
    async with redis.asyncio.from_url(valkey) as client:
        await client.ping()
        with emitter.span("page") as page:
            assert await client.get("cart:1") is None
            pipeline = client.pipeline().set("cart:1", "a").get("cart:1")
            assert await pipeline.execute() == [True, b"a"]
            pipeline = client.pipeline(transaction=False).ping().ping()
            assert await pipeline.execute() == [True, True]
    watch_redis(emitter)()

    found, batch, plain, _ = spans(emitter, receiver)
    assert plain["name"] == "PIPELINE PING"
    assert (found["name"], found["attributes"]["cache.hit"]) == ("GET cart", False)
    assert (batch["name"], batch["parent_id"]) == ("MULTI", page.span_id)
    assert counted(emitter, receiver) == {("cache.hits", "cart"): 1, ("cache.misses", "cart"): 1}


@pytest.mark.usefixtures("watched")
def test_a_command_that_fails(client: redis.Redis, emitter: Emitter, receiver: Receiver) -> None:
    """
    An error is neither hit nor miss; it is raised on, and is in the span.
    """
    client.set("cart:1", "a")
    with emitter.span("page"):
        with pytest.raises(redis.ResponseError):
            client.hget("cart:1", "field")
        pipeline = client.pipeline(transaction=False).hget("cart:1", "field").get("cart:1")
        wrong, right = pipeline.execute(raise_on_error=False)
        assert (type(wrong), right) == (redis.ResponseError, b"a")
    watch_redis(emitter)()

    failed, batch, _ = spans(emitter, receiver)
    assert (failed["name"], failed["status"]) == ("HGET cart", "error")
    assert failed["error"]["type"] == "redis.exceptions.ResponseError"
    assert "cache.hit" not in failed["attributes"]
    assert "error" not in batch
    assert counted(emitter, receiver) == {("cache.hits", "cart"): 1}


def test_watched_twice_and_undone(
    client: redis.Redis, emitter: Emitter, receiver: Receiver
) -> None:
    """
    Watched twice records once; undone, redis-py is as it was.
    """
    before = dict(vars(redis.Redis))
    watch_redis(emitter)
    undo = watch_redis(emitter)
    with emitter.span("page"):
        client.get("cart:1")
    undo()
    client.get("cart:1")

    assert [span["name"] for span in spans(emitter, receiver)] == ["GET cart", "page"]
    assert counted(emitter, receiver) == {("cache.misses", "cart"): 1}
    assert dict(vars(redis.Redis)) == before


PROCESS = """
import os, sys, redis
from monitord.emit import configure
from monitord.emit.hooks import watch_redis

configure(sys.argv[1])
watch_redis()
client = redis.Redis.from_url(sys.argv[2])
for _ in range(10):
    client.get("cart:1")
if (child := os.fork()) == 0:
    client = redis.Redis.from_url(sys.argv[2])
    for _ in range(5):
        client.get("cart:1")
    sys.exit()
os.waitpid(child, 0)
"""


def test_the_end_of_a_process(valkey: str, receiver: Receiver, emitter: Emitter) -> None:
    """
    What was counted is told at the end, by a forked child as well, and nothing of it twice.
    """
    subprocess.run([sys.executable, "-c", PROCESS, receiver.address, valkey], check=True)

    assert counted(emitter, receiver) == {("cache.misses", "cart"): 15}


def test_types_are_few() -> None:
    """
    A type becomes a label: ids before the colon do not make ever more of them.
    """
    types = KeyTypes({"session:*": "login", "?:page:*": "page"})

    assert types.of(b"session:1:x") == "login"
    assert types.of(memoryview(b"7:page:3")) == "page"
    assert types.of("plain") == types.of(":empty") == types.of(17) == "other"
    assert types.of("x" * 100 + ":1") == "other"
    assert len({types.of(f"{number}:cart") for number in range(1_000)}) == MOST_TYPES + 1
