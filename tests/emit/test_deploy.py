"""The mark of a deploy: one for all processes of a version."""

from __future__ import annotations

import json
import textwrap
import time

import pytest

from monitord.emit import Emitter
from monitord.emit.encode import Encoder
from tests.emit.receiver import Receiver, wait_until
from tests.emit.test_process import script


def test_a_version_is_a_mark(receiver: Receiver) -> None:
    """
    An emitter with a version says once which began to run, when, and of what service.
    """
    before = time.time()
    emitter = Emitter(receiver.address, service="shop", version="1.8.2", flush_every=0.01)
    made = time.time()
    for number in range(3):
        emitter.log("INFO", f"number {number}")
        assert emitter.flush(5)
    emitter.close()

    [mark] = receiver.events("annotation")
    assert before - 0.001 <= mark.pop("time") <= made + 0.001
    assert len(mark.pop("id")) == 32
    assert mark == {"type": "annotation", "service": "shop", "kind": "deploy", "title": "1.8.2"}
    assert b"annotation" in receiver.posts[0].body


def test_workers_make_one_mark(receiver: Receiver) -> None:
    """
    Processes of one version and service send one id, others another; the environment says it too.
    """
    code = """
        import os
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=60)
        children = [os.fork() for _ in range(2)]
        emitter.log("INFO", "x")
        emitter.close(5)
        if 0 in children:
            os._exit(0)
        for child in children:
            os.waitpid(child, 0)
    """
    named = 'import os; os.environ["{}"] = "{}"\n'
    for variable, version in [("MONITORD_VERSION", "1"), ("OTEL_SERVICE_VERSION", "2")]:
        script(named.format(variable, version) + textwrap.dedent(code), receiver.address)

    wait_until(lambda: len(receiver.events("annotation")) >= 8)
    ids: dict[str, set[str]] = {"1": set(), "2": set()}
    for mark in receiver.events("annotation"):
        ids[mark["title"]].add(mark["id"])
    assert [len(found) for found in ids.values()] == [1, 1]
    assert ids["1"] != ids["2"]


def test_a_worker_that_takes_another_s_place_is_no_deploy(receiver: Receiver) -> None:
    """
    What is forked long after its parent was configured marks nothing: the version is not new.
    """
    code = """
        import os, time
        from monitord.emit import Emitter
        emitter = Emitter(version="1", flush_every=60)
        real, time.time = time.time, lambda: real() + 7_200
        child = os.fork()
        time.time = real
        if child:
            os.waitpid(child, 0)
        emitter.log("INFO", "parent" if child else "child")
        emitter.close(5)
        if not child:
            os._exit(0)
    """

    script(textwrap.dedent(code), receiver.address)

    assert len(receiver.wait("log", 2)) == 2
    assert len(receiver.wait("annotation")) == 1


def test_a_roll_back_is_a_deploy() -> None:
    """
    The same version in processes begun at another time has another mark.
    """
    marks = {}
    for hour in (0, 1, 2):
        event = (Encoder.deploy, 1e9 + hour * 3_600, "shop", "1", 1e9 + hour * 3_600)
        marks[hour] = json.loads(Encoder("shop").line(event))["id"]
    assert len(set(marks.values())) == 3


def test_processes_of_one_group_begin_as_one(receiver: Receiver) -> None:
    """
    A worker that starts from scratch hours later makes the mark of the group it belongs to.
    """
    code = """
        import subprocess, sys, time
        from monitord.emit import Emitter
        worker = (
            "import time; real = time.time; offset = {}; time.time = lambda: real() + offset\\n"
            "from monitord.emit import Emitter\\n"
            "emitter = Emitter(version='1', flush_every=60)\\n"
            "emitter.log('INFO', 'x')\\n"
            "emitter.close(5)\\n"
        )
        for offset in (0, 7_200):
            subprocess.run([sys.executable, "-c", worker.format(offset)], check=True)
    """
    script(code, receiver.address)

    marks = receiver.wait("annotation", 2)
    assert len({mark["id"] for mark in marks}) == 1


def test_another_version_from_now_on(emitter: Emitter, receiver: Receiver) -> None:
    """
    `configure` may name the version; without one nothing is marked.
    """
    emitter.log("INFO", "before")
    receiver.wait("log")
    assert receiver.events("annotation") == []

    emitter.configure(receiver.address, "shop", version="3")
    emitter.log("INFO", "after")

    assert receiver.wait("annotation")[0]["title"] == "3"


@pytest.mark.parametrize("version", ["", "x" * 5_000, "\0\ud800"])
def test_odd_versions(receiver: Receiver, version: str) -> None:
    """
    Whatever the version is, what is sent with it arrives.
    """
    emitter = Emitter(receiver.address, service="shop", version=version, flush_every=0.01)

    emitter.log("INFO", "x")

    assert emitter.flush(5)
    assert [len(mark["title"]) for mark in receiver.events("annotation")] == (
        [min(len(version), 1_000)] if version else []
    )
    emitter.close()
