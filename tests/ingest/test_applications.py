"""
The doors of docs/ingest.md, "From your application", and of README.md: each snippet is run as it
stands but for the port, and what it sends is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
import time

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from monitord.ingest.http import IngestServer
from monitord.ingest.udp import UdpListener
from monitord.settings import Ingest


ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0

PAGE = (ROOT / "docs" / "ingest.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## From your application\n")[2].partition("\n## ")[0]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENTRIES = dict(
    re.findall(r"^### (.+?)$(.*?)(?=^### |\Z)", SECTION, re.MULTILINE | re.DOTALL),
)

FLASK_SHOP = """
from flask import Flask

app = Flask(__name__)


@app.get("/orders/<int:number>")
def order(number):
    return str(number)
"""
# Stands where the package of OpenTelemetry would be: says that it was loaded, and with what.
REGISTER = """
console.log(process.env.OTEL_SERVICE_NAME, process.env.OTEL_EXPORTER_OTLP_ENDPOINT);
"""
# The lines that run a task at once, without a broker.
EAGER = """
app.conf.task_always_eager = True
send_receipt.delay(17)
"""


def snippets(entry: str, language: str) -> list[str]:
    """Return the code of an entry, in the order it stands there."""
    return re.findall(rf"^```{language}\n(.*?)^```", ENTRIES[entry], re.MULTILINE | re.DOTALL)


def door(language: str, holds: str) -> str:
    """Return the one snippet of README.md that holds the text."""
    blocks = re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if holds in block]
    return str(found)


def needs(*programs: str) -> None:
    """Skip where a program is missing."""
    if missing := [name for name in programs if shutil.which(name) is None]:
        pytest.skip(f"needs {', '.join(missing)}")


def environment(**own: str) -> dict[str, str]:
    """Return an environment with this Python's programs, and nothing said of monitoring."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MONITORD_", "OTEL_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**clean, "PATH": path, "PYTHONPATH": str(ROOT), **own}


async def run(*command: str | Path, cwd: Path | None = None, **own: str) -> str:
    """Run a program to its end, and return what it said."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment(**own), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0
    return said.decode()


async def until(true: Callable[[], object]) -> None:
    """Wait for something another process brings about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


def all_of(sink: Any, name: str) -> list[Any]:
    return [event for batch in sink.batches for event in getattr(batch, name)]


@contextlib.asynccontextmanager
async def udp(sink: Any, telemetry: Any) -> AsyncIterator[str]:
    """Take datagrams; yield the port."""
    async with UdpListener(Ingest(port=0), sink, telemetry) as listener:
        yield str(listener.port)


@pytest.mark.parametrize(
    "entry", [pytest.param(name, id=name.partition(",")[0]) for name in ENTRIES]
)
def test_entries(entry: str) -> None:
    """
    Each entry has code to paste, or says where it is.
    """
    assert "```" in ENTRIES[entry] or "(emit.md#frameworks)" in ENTRIES[entry]


async def test_celery(sink, telemetry) -> None:
    """
    A task of the application as pasted is a job, with its step.
    """
    [code] = snippets("Celery", "python")

    async with udp(sink, telemetry) as port:
        await run(sys.executable, "-c", code + EAGER, MONITORD_ADDRESS=f"127.0.0.1:{port}")
        await until(lambda: len(all_of(sink, "spans")) >= 2 and all_of(sink, "metrics"))

    [duration] = all_of(sink, "metrics")
    assert (duration.service, duration.name) == ("shop", "job.duration")
    assert duration.attributes["outcome"] == "success"
    assert duration.attributes["job"].endswith("send_receipt")
    rendered, task = sorted(all_of(sink, "spans"), key=lambda span: span.name != "render")
    assert (rendered.parent_id, task.kind) == (task.span_id, "consumer")


@pytest.mark.parametrize(
    "code",
    [snippets("Any language, through OpenTelemetry", "sh")[0], door("sh", "flask run")],
    ids=["ingest.md", "README.md"],
)
async def test_opentelemetry(sink, telemetry, tmp_path: Path, code: str) -> None:
    """
    A Flask application that knows of nothing, started by that line, has its requests there.
    """
    (tmp_path / "app.py").write_text(FLASK_SHOP)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])

    async with IngestServer(Ingest(port=0), sink, telemetry) as server:
        line = "exec env " + code.strip().replace("9125", str(server.port))
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", line),
            cwd=tmp_path,
            env=environment(FLASK_RUN_PORT=port, OTEL_BSP_SCHEDULE_DELAY="200"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            await asked(f"http://127.0.0.1:{port}/orders/17")
            await until(lambda: all_of(sink, "requests"))
        finally:
            process.kill()
            await process.wait()

    request = all_of(sink, "requests")[0]
    assert (request.service, request.method, request.status) == ("shop", "GET", 200)
    assert request.route == "/orders/<int:number>"


async def asked(url: str) -> None:
    """Ask a server that is about to start."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    async with aiohttp.ClientSession() as web:
        while True:
            try:
                async with web.get(url) as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                assert time.monotonic() < deadline, "it did not start"
                await asyncio.sleep(0.1)


async def test_node_with_opentelemetry(tmp_path: Path) -> None:
    """
    Node.js loads the module it is told to before the application, with the endpoint set.
    """
    needs("bash", "node")
    [code] = snippets("Node.js", "sh")
    module = tmp_path / "node_modules" / "@opentelemetry" / "auto-instrumentations-node"
    module.mkdir(parents=True)
    (module / "register.js").write_text(REGISTER)
    (tmp_path / "app.js").write_text('console.log("app");')

    said = await run("bash", "-euc", code, cwd=tmp_path)

    assert said.splitlines() == ["shop http://127.0.0.1:9125", "app"]


async def test_node_without_a_package(sink, telemetry) -> None:
    """
    A number of Node.js arrives.
    """
    needs("node")
    [code] = snippets("Node.js", "js")

    async with udp(sink, telemetry) as port:
        await run("node", "-e", code.replace("9125", port))

    assert orders(sink) == [("shop", "orders", "counter", 1.0)]


async def test_go(sink, telemetry, tmp_path: Path) -> None:
    """
    A number of Go arrives.
    """
    needs("go")
    [code] = snippets("Go", "go")

    async with udp(sink, telemetry) as port:
        (tmp_path / "main.go").write_text(code.replace("9125", port))
        await run("go", "run", tmp_path / "main.go", cwd=tmp_path, GOCACHE=str(tmp_path))

    assert orders(sink) == [("shop", "orders", "counter", 1.0)]


def orders(sink: Any) -> list[tuple[str, str, str, float]]:
    return [(one.service, one.name, one.kind, one.value) for one in all_of(sink, "metrics")]


async def test_nginx_takes_it(tmp_path: Path) -> None:
    """
    The lines are a configuration of nginx.
    """
    needs("nginx")
    [code] = snippets("nginx", "nginx")
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{code}}}\n")

    await run("nginx", "-t", "-p", tmp_path, "-e", "stderr", "-c", config)


@pytest.mark.parametrize(
    ("status", "level"), [("502", "ERROR"), ("404", "WARNING"), ("200", "INFO")]
)
async def test_what_nginx_sends(sink, telemetry, status: str, level: str) -> None:
    """
    A line of that log_format has a message, a level, a trace and fields that are numbers.
    """
    [code] = snippets("nginx", "nginx")
    said = {
        "request_method": "GET",
        "uri": r"/orders/\"17\"",
        "status": status,
        "monitord_level": level_of(code, status),
        "request_id": "0af7651916cd43dd8448eb211c80319c",
        "request_time": "0.125",
        "body_bytes_sent": "734",
        "remote_addr": "192.0.2.7",
    }
    line = "".join(re.findall(r"^    '(.*?)';?$", code, re.MULTILINE))
    line = re.sub(r"\$(\w+)", lambda found: said[found[1]], line)

    async with udp(sink, telemetry) as port:
        send(port, f"<190>Nov 26 05:08:00 web1 nginx: {line}")

    [log] = all_of(sink, "logs")
    assert (log.service, log.level, log.message) == ("nginx", level, f'GET /orders/"17" {status}')
    assert log.trace_id == said["request_id"]
    assert (log.fields["seconds"], log.fields["bytes"]) == (0.125, 734)
    assert (log.fields["status"], log.fields["client"]) == (status, "192.0.2.7")


def level_of(code: str, status: str) -> str:
    """Return what the `map` of the snippet makes of a status."""
    rules = re.findall(r"^    (~\S+|default) (\w+);$", code, re.MULTILINE)
    fits = [level for rule, level in rules if rule[0] == "~" and re.match(rule[1:], status)]
    return str((fits or [dict(rules)["default"]])[0])


def send(port: str, text: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(text.encode(), ("127.0.0.1", int(port)))


def test_docker() -> None:
    """
    Each service names a driver, and by that driver's own option where monitord listens.
    """
    [code] = snippets("Docker", "yaml")

    services = yaml.safe_load(code)["services"].values()

    drivers = {one["logging"]["driver"]: one["logging"]["options"] for one in services}
    assert drivers.keys() == {"gelf", "syslog"}
    for name, options in drivers.items():
        assert options[f"{name}-address"] == "udp://127.0.0.1:9125"
        assert options["tag"]


async def test_shell_with_nc(sink, telemetry) -> None:
    """
    A number and a line of the log arrive.
    """
    needs("bash", "nc")
    code = snippets("Shell", "sh")[0]

    async with udp(sink, telemetry) as port:
        await run("bash", "-euc", code.replace("9125", port))

    assert orders(sink) == [("shop", "orders", "counter", 1.0)]
    assert [log.message for log in all_of(sink, "logs")] == ["2 files were skipped"]


async def test_the_lines_of_shell_are_taken(sink, telemetry) -> None:
    """
    What is piped into `nc` is taken, where there is no `nc` to pipe it into, too.
    """
    code = snippets("Shell", "sh")[0]

    async with udp(sink, telemetry) as port:
        for text in re.findall(r"^echo '(.*?)' \|", code, re.MULTILINE):
            send(port, f"{text}\n")

    assert orders(sink) == [("shop", "orders", "counter", 1.0)]
    [log] = all_of(sink, "logs")
    assert (log.service, log.level) == ("backup", "WARNING")


@pytest.mark.parametrize(("program", "outcome"), [("true", "success"), ("false", "failure")])
async def test_a_job_of_cron(sink, telemetry, tmp_path: Path, program: str, outcome: str) -> None:
    """
    A command's run, timed by bash, is one run of a job, however it ended.
    """
    needs("bash")
    code = snippets("Shell", "sh")[1]

    async with udp(sink, telemetry) as port:
        stood_in = code.replace("9125", port).replace("pg_dump shop", program)
        await run("bash", "-euc", stood_in, cwd=tmp_path)

    [job] = all_of(sink, "metrics")
    assert (job.service, job.name, job.kind, job.unit) == ("ops", "job.duration", "histogram", "ms")
    assert job.attributes == {"job": "backup", "outcome": outcome}


async def test_the_shell_line_of_the_readme(sink, telemetry) -> None:
    """
    The line of README.md arrives.
    """
    needs("bash")

    async with udp(sink, telemetry) as port:
        await run("bash", "-euc", door("sh", "/dev/udp").replace("9125", port))

    assert orders(sink) == [("shop", "orders", "counter", 1.0)]


def test_every_snippet_is_tried() -> None:
    """
    None is there that no test here tries.
    """
    languages = re.findall(r"^```(\w+)$", SECTION, re.MULTILINE)

    assert sorted(languages) == sorted(
        ["python", "sh", "sh", "js", "go", "text", "nginx", "yaml", "sh", "sh"]
    )
