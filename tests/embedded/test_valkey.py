"""The embedded Valkey in one process: where it listens, its death, its stop."""

import asyncio
import os
import signal

from pathlib import Path

import psutil
import pytest
import redis.asyncio

from monitord.embedded import EmbeddedValkey, ValkeyOptions
from monitord.errors import EmbeddedError


PATIENCE_SECONDS = 30.0


async def test_listens_on_loopback_alone(tmp_path: Path):
    """
    It listens on 127.0.0.1, on a port the kernel chose, and as root it runs as somebody else.
    """
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        process = psutil.Process(server.pid)
        listening = [tuple(entry.laddr) for entry in process.net_connections("inet")]
        user = process.uids().effective

    assert ("127.0.0.1", server.port) in listening
    assert {host for host, _ in listening} == {"127.0.0.1"}
    assert user != 0


async def test_two_at_once(tmp_path: Path):
    """
    Two servers on two folders get two ports.
    """
    async with (
        EmbeddedValkey(tmp_path / "one") as one,
        EmbeddedValkey(tmp_path / "two") as two,
    ):
        assert one.url != two.url


async def test_keeps_nothing_on_disk(tmp_path: Path):
    """
    Nothing but the log and the lock is written, and a stop ends the process.
    """
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        process = psutil.Process(server.pid)
        async with redis.asyncio.from_url(server.url) as client:
            await client.set("key", "value")

    assert not process.is_running()
    assert {path.name for path in (tmp_path / "valkey").iterdir()} == {"valkey.log", "lock"}


async def test_killed_server_comes_back(tmp_path: Path):
    """
    After kill -9 it is started again on the same port.
    """
    async with EmbeddedValkey(tmp_path / "valkey") as server:
        first, url = server.pid, server.url

        os.kill(first, signal.SIGKILL)

        assert await ping(url)
        assert server.pid != first
        assert server.url == url


async def ping(url: str) -> bool:
    """Ask until there is an answer."""
    async with asyncio.timeout(PATIENCE_SECONDS), redis.asyncio.from_url(url) as client:
        while True:
            try:
                return await client.ping()
            except redis.ConnectionError:
                await asyncio.sleep(0.02)


async def test_settings_reach_the_server(tmp_path: Path):
    """
    A setting given goes over the default one.
    """
    options = ValkeyOptions(settings={"maxmemory": "7mb"})
    async with (
        EmbeddedValkey(tmp_path / "valkey", options) as server,
        redis.asyncio.from_url(server.url) as client,
    ):
        limits = await client.config_get("maxmemory")

    assert limits == {"maxmemory": "7340032"}


async def test_refused_start_shows_the_servers_words(tmp_path: Path):
    """
    A server that cannot start is reported in one line with the end of its own log.
    """
    options = ValkeyOptions(settings={"maxmemory": "plenty"})

    with pytest.raises(EmbeddedError) as caught:
        await EmbeddedValkey(tmp_path / "valkey", options).__aenter__()

    assert "argument must be a memory value" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_second_daemon_on_the_folder(tmp_path: Path):
    """
    A second start on a folder in use is refused in one line that names the holder.
    """
    async with EmbeddedValkey(tmp_path / "valkey"):
        with pytest.raises(EmbeddedError, match=rf"\(process {os.getpid()}\) uses this folder"):
            await EmbeddedValkey(tmp_path / "valkey").__aenter__()
