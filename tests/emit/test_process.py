"""What processes do: fork, end, start without dependencies. Each test runs a Python of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

from pathlib import Path

import pytest

import monitord

from tests.emit.receiver import Receiver


ROOT = Path(monitord.__file__).parent.parent


# Python 3.12 and later warn of any fork while a thread runs, which is what these tests are about.
WARNINGS = ("-W", "error", "-W", "ignore:This process:DeprecationWarning")


def script(code: str, address: str = "127.0.0.1:1", *options: str) -> None:
    """Run the code with warnings as errors; it must end in time, well, and say nothing."""
    environment = {**os.environ, "MONITORD_ADDRESS": address, "MONITORD_SERVICE": "shop"}
    done = subprocess.run(
        [sys.executable, "-X", "dev", *WARNINGS, *options, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "")


def messages(receiver: Receiver, count: int) -> list[str]:
    return sorted(line["message"] for line in receiver.wait("log", count))


def test_what_waits_at_exit_is_sent(receiver: Receiver) -> None:
    """
    A script that ends right after its last event loses none, small or large.
    """
    code = """
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=60)
        for number in range(500):
            emitter.request("GET", f"/{number}", 200, 1)
        emitter.log("INFO", "x" * 20_000)
    """

    script(code, receiver.address)

    assert len(receiver.wait("request", 500)) == 500
    assert len(receiver.wait("log")) == 1


def test_exit_does_not_wait_for_a_daemon_that_hangs() -> None:
    """
    A listener that accepts and never answers delays the end of the process by a second at most.
    """
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = f"""
            import time
            from monitord.emit import Emitter
            emitter = Emitter("http://127.0.0.1:{silent.getsockname()[1]}", flush_every=0.01)
            emitter.log("INFO", "x")
            time.sleep(0.2)
            start = time.monotonic()
            emitter.close()
            assert time.monotonic() - start < 5
        """

        script(code)


def test_nobody_listens() -> None:
    """
    Without a daemon an application runs, forks and ends as if nothing were there.
    """
    code = """
        import os
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=0.001)
        for number in range(20_000):
            emitter.request("GET", "/", 200, 1)
        child = os.fork()
        emitter.log("INFO", "x" * 100_000)
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """

    script(code)


def test_a_fork_begins_with_nothing_of_its_parent(receiver: Receiver) -> None:
    """
    Parent and child send their own events once each, and what waited before the fork only once.
    """
    code = """
        import os, threading
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=60)
        emitter.log("INFO", "before")
        child = os.fork()
        if child == 0:
            emitter.log("INFO", "child")
            assert emitter.flush(5)
            os._exit(0)
        emitter.log("INFO", "parent")
        assert os.waitpid(child, 0)[1] == 0
        assert emitter.flush(5)
    """

    script(code, receiver.address)

    assert messages(receiver, 3) == ["before", "child", "parent"]


def test_a_fork_of_a_busy_process(receiver: Receiver) -> None:
    """
    Children forked while the parent's thread is sending work as well as any, losing nothing.
    """
    code = """
        import os, threading
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=0.0001)
        children = []
        for number in range(20):
            emitter.log("INFO", f"parent {number:02}")
            child = os.fork()
            if child == 0:
                emitter.log("INFO", f"child {number:02}")
                emitter.close(5)
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
    """

    script(code, receiver.address)

    expected = [f"{who} {number:02}" for who in ("child", "parent") for number in range(20)]
    assert messages(receiver, 40) == expected


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_a_fork_while_an_answer_is_awaited(end: str) -> None:
    """
    The child goes on, and ends, though the parent's thread was reading from its connection.
    """
    code = f"""
        import os, signal, socket, sys, threading, time
        from monitord.emit import Emitter
        listener = socket.create_server(("127.0.0.1", 0))
        begun = threading.Event()
        def answer_half():
            peer, _ = listener.accept()
            peer.recv(65_536)
            peer.sendall(b"HTTP/1.1 202 Accepted\\r\\nContent-Length: 20\\r\\n\\r\\n")
            begun.set()
            time.sleep(60)
        threading.Thread(target=answer_half, daemon=True).start()
        emitter = Emitter(f"http://127.0.0.1:{{listener.getsockname()[1]}}", flush_every=0.01)
        emitter.count("x")
        assert begun.wait(10)
        time.sleep(0.2)
        child = os.fork()
        if child == 0:
            {end}
        deadline = time.monotonic() + 20
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended == (0, 0):
            os.kill(child, signal.SIGKILL)
        assert ended == (child, 0), ended
        os._exit(0)
    """

    script(code)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_workers(receiver: Receiver, tmp_path: Path, method: str) -> None:
    """
    A worker that just returns has its events sent, though a forked one never runs atexit.
    """
    (tmp_path / "worker.py").write_text(
        "from monitord.emit import Emitter\n"
        "emitter = Emitter(flush_every=60)\n"
        "def work(number):\n"
        "    emitter.log('INFO', f'worker {number}')\n"
    )
    code = f"""
        import multiprocessing, sys
        sys.path.insert(0, {str(tmp_path)!r})
        import worker
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            processes = [context.Process(target=worker.work, args=(n,)) for n in range(3)]
            for process in processes:
                process.start()
            for process in processes:
                process.join()
            assert [process.exitcode for process in processes] == [0, 0, 0]
    """

    script(code, receiver.address)

    assert messages(receiver, 3) == ["worker 0", "worker 1", "worker 2"]


def test_forked_workers_draw_different_ids(receiver: Receiver) -> None:
    """
    Workers have trace ids of their own, even when the application seeds `random` in each.
    """
    code = """
        import os, random
        from monitord.emit import Emitter, traced
        emitter = Emitter()
        with traced():
            pass
        for number in range(3):
            random.seed(0)
            if os.fork() == 0:
                random.seed(0)
                for _ in range(50):
                    with traced():
                        emitter.log("INFO", f"child {number}")
                emitter.close()
                os._exit(0)
        for _ in range(3):
            os.wait()
    """

    script(code, receiver.address)

    assert len({line["trace_id"] for line in receiver.wait("log", 150)}) == 150


def test_recording_in_a_signal_handler(receiver: Receiver) -> None:
    """
    A handler that records while the code it interrupts is recording does not lock up.
    """
    code = """
        import signal, time
        from monitord.emit import Emitter
        emitter = Emitter(flush_every=0.001)
        signal.signal(signal.SIGALRM, lambda *_: emitter.log("INFO", "alarm"))
        signal.setitimer(signal.ITIMER_REAL, 0.00001, 0.0005)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            emitter.count("turns")
        signal.setitimer(signal.ITIMER_REAL, 0)
        emitter.flush()
    """

    script(code, receiver.address)

    assert receiver.wait("log")


def test_only_the_standard_library_is_imported() -> None:
    """
    `import monitord.emit` works where nothing is installed and nothing else may be imported.
    """
    code = f"""
        import sys
        sys.path.append({str(ROOT)!r})
        allowed = set(sys.stdlib_module_names) | {{"monitord"}}

        class Guard:
            def find_spec(self, name, path=None, target=None):
                top, *rest = name.split(".")
                if top not in allowed or (top == "monitord" and rest and rest[0] != "emit"):
                    # The standard library itself tries `org` for Jython, and expects this.
                    raise ImportError(f"{{name}} is not to be imported")

        sys.meta_path.insert(0, Guard())
        import monitord.emit
        for name in monitord.emit.__all__:
            getattr(monitord.emit, name)
        emitter = monitord.emit.Emitter("127.0.0.1:9")
        emitter.log("INFO", "x")
        emitter.close()
    """

    script(code, "", "-I", "-S")


def test_importing_does_nothing() -> None:
    """
    The import starts no thread, opens no socket, and reads no setting; neither does an emitter.
    """
    code = """
        import os, sys, threading
        events = []
        sys.addaudithook(lambda name, _: events.append(name) if name.startswith("socket") else None)
        os.environ["MONITORD_ADDRESS"] = "no:address"
        import monitord.emit
        os.environ["MONITORD_ADDRESS"] = "127.0.0.1:9"
        emitter = monitord.emit.Emitter()
        assert threading.active_count() == 1
        assert events == [], events
    """

    script(code)


def test_the_thread_imports_nothing(receiver: Receiver) -> None:
    """
    All it needs is imported before: a fork in the middle of an import breaks the child's module.
    """
    code = """
        import sys
        import monitord.emit
        def fail():
            raise LookupError("x" * 10_000)
        emitter = monitord.emit.Emitter(report_every=0)
        before = set(sys.modules)
        try:
            fail()
        except LookupError as error:
            emitter.log("ERROR", "x" * 10_000, fields={"x": 1}, error=error)
        emitter.request("GET", "/", 200, 1)
        emitter.count("x")
        emitter.gauge("x", float("nan"))
        assert emitter.flush(5)
        assert emitter.flush(5)
        assert set(sys.modules) == before, set(sys.modules) - before
    """

    script(code, f"localhost:{receiver.port}")

    assert receiver.posts


def test_a_thread_that_cannot_start_costs_events_only() -> None:
    """
    Recording while the interpreter ends, when no thread can be started any more, is silent.
    """
    code = """
        import atexit
        from monitord.emit import Emitter
        emitter = Emitter()
        class Late:
            def __del__(self):
                emitter.log("INFO", "very late")
        late = Late()
        atexit.register(lambda: emitter.log("INFO", "late"))
    """

    script(code)
