"""`monitord demo` as a user runs it: what it starts, what it says, and that nothing outlives it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from monitord.demo.run import read_settings
from monitord.embedded.sockets import forget_folder


PATIENCE_SECONDS = 60.0
CHECKOUT = Path(__file__).parents[2]


class Demo:
    """A running demo, its page's URL and every process below it."""

    def __init__(self, state: Path, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monitord", "demo"],
            stderr=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
            start_new_session=True,
            env={
                **os.environ,
                "MONITORD_STATE_DIR": str(state),
                "MONITORD_WEB_PORT": "0",
                "MONITORD_INGEST_PORT": "0",
                **environ,
            },
        )
        self.state = state
        self.said: list[str] = []
        self.url = ""

    def wait_until_ready(self) -> None:
        for line in self.process.stderr:
            self.said.append(line)
            if "monitord is running:" in line:
                self.url = line.split()[-1]
            if "Ctrl-C" in line:
                return
        raise AssertionError("".join(self.said))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=PATIENCE_SECONDS)
        self.said.append(rest)
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[type[Demo]]:
    """Start a demo; what a test leaves running is killed."""
    demos: list[Demo] = []

    def begin(state: Path, **environ: str) -> Demo:
        demos.append(Demo(state, **environ))
        return demos[-1]

    yield begin
    for demo in demos:
        demo.process.kill()
        demo.process.communicate()
        forget_folder(demo.state / "demo" / "postgres" / "sockets")


def commands(processes: list[psutil.Process]) -> str:
    return " ".join(" ".join(process.cmdline()) for process in processes)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run once nothing changes any more, or the patience is over."""
    return psutil.wait_procs(processes, timeout=PATIENCE_SECONDS)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_demo(tmp_path: Path, start: type[Demo], number: signal.Signals):
    """
    Servers, shop and visitors end with the demo, however it ends.
    """
    demo = start(tmp_path)
    demo.wait_until_ready()
    processes = demo.family()
    running = commands(processes)

    code = demo.end(number)

    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert alive(processes) == []
    for part in ("postgres", "valkey-server", "monitord.demo.shop", "monitord.demo.traffic"):
        assert part in running


def test_it_says_what_it_does(tmp_path: Path, start: type[Demo]):
    """
    Every long step is named with its time, and the page whose address is shown is there.
    """
    demo = start(tmp_path)
    demo.wait_until_ready()

    with urlopen(f"{demo.url.rstrip('/')}/healthz", timeout=PATIENCE_SECONDS) as response:
        status = response.status
    demo.end(signal.SIGINT)

    text = "".join(demo.said)
    assert status == 200
    assert text.count(" done in ") == 4
    assert str(tmp_path / "demo") in text
    assert text.endswith("Stopped; nothing is left running.\n")


def test_interrupted_start(tmp_path: Path, start: type[Demo]):
    """
    Ctrl-C while it is still starting ends it as cleanly.
    """
    demo = start(tmp_path)
    demo.said.append(demo.process.stderr.readline())  # the servers run, the shop does not yet
    processes = demo.family()

    code = demo.end(signal.SIGINT)

    assert code == 0
    assert alive(processes) == []


def test_a_shop_that_does_not_start(tmp_path: Path, start: type[Demo]):
    """
    What keeps the shop from starting is told in one line; everything else is ended.
    """
    broken = tmp_path / "packages" / "starlette"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('out of order')\n")

    demo = start(tmp_path, PYTHONPATH=str(broken.parent))
    _, said = demo.process.communicate(timeout=PATIENCE_SECONDS)

    last = said.splitlines()[-1]
    assert demo.process.returncode == 3
    assert last.startswith("the demo's shop did not start; ")
    assert last.endswith("RuntimeError: out of order")
    assert "Stopped" not in said


def test_a_folder_that_cannot_be_made(tmp_path: Path, start: type[Demo]):
    """
    A state folder that cannot be is told in one line.
    """
    (tmp_path / "demo").write_text("a file")

    _, said = start(tmp_path).process.communicate(timeout=PATIENCE_SECONDS)

    assert said.startswith(f"state_dir: {tmp_path / 'demo'} cannot be made (File exists);")


@pytest.mark.parametrize(
    ("variable", "kind", "what"),
    [
        ("MONITORD_WEB_PORT", socket.SOCK_STREAM, "the page"),
        ("MONITORD_INGEST_PORT", socket.SOCK_STREAM, "the ingest"),
        ("MONITORD_INGEST_PORT", socket.SOCK_DGRAM, "the ingest"),
    ],
)
def test_taken_port(
    tmp_path: Path, start: type[Demo], variable: str, kind: socket.SocketKind, what: str
):
    """
    A taken port ends it before anything is started, with one line and exit code 2: which port it
    is, and the one variable that names another.
    """
    with taken(kind) as port:
        process = start(tmp_path, **{variable: port}).process
        _, said = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 2
    assert said.startswith(f"port {port} of {what} (Address already in use)")
    assert re.findall("MONITORD_[A-Z_]+", said) == [variable]
    assert said.count("\n") == 1
    assert not (tmp_path / "demo").exists()


def test_both_ports_taken(tmp_path: Path, start: type[Demo]):
    """
    Beside another demo both ports are taken: one line names both, and both variables.
    """
    with taken(socket.SOCK_STREAM) as page, taken(socket.SOCK_STREAM) as ingest:
        ports = {"MONITORD_WEB_PORT": page, "MONITORD_INGEST_PORT": ingest}
        _, said = start(tmp_path, **ports).process.communicate(timeout=PATIENCE_SECONDS)

    assert f"port {page} of the page" in said
    assert f"port {ingest} of the ingest" in said
    assert "set MONITORD_WEB_PORT and MONITORD_INGEST_PORT to free ports" in said
    assert said.count("\n") == 1


@contextlib.contextmanager
def taken(kind: socket.SocketKind) -> Iterator[str]:
    """Hold a port of loopback."""
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        yield str(holder.getsockname()[1])


def test_the_users_own_settings_are_left_out(tmp_path: Path):
    """
    The demo keeps its state below the state folder and reads no monitord.yaml.
    """
    settings = read_settings(
        {"MONITORD_STATE_DIR": str(tmp_path), "MONITORD_CONFIG": str(tmp_path / "none.yaml")}
    )

    assert settings.state_dir == tmp_path / "demo"
    assert (settings.web.port, settings.ingest.port) == (9120, 9125)
