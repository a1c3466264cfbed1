"""docs/ingest.md says what is so: its examples run, its tables name what exists."""

from __future__ import annotations

import asyncio
import json
import re
import shutil

from pathlib import Path

import pytest

from monitord.ingest import limits
from monitord.ingest.decoded import Code
from monitord.ingest.envelope import Envelope
from monitord.ingest.http import IngestServer
from monitord.ingest.settle import LEVEL_NAMES
from monitord.ingest.udp import UdpListener
from monitord.model import (
    LEVELS,
    METHODS,
    Annotation,
    ErrorInfo,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)
from monitord.settings import Ingest


TEXT = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
# The snippets of "From your application" have tests of their own.
PROTOCOLS = re.sub(r"^## From your application$.*?(?=^## )", "", TEXT, flags=re.M | re.DOTALL)
EXAMPLES = re.findall(r"```sh\n(.*?)```", PROTOCOLS, re.DOTALL)


def section(heading: str) -> str:
    """The text between a heading and the next one."""
    [found] = re.findall(rf"^#+ {re.escape(heading)}.*?$(.*?)(?=^#|\Z)", TEXT, re.M | re.DOTALL)
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
async def test_examples_run(sink, telemetry, example: str) -> None:
    """Every shell example, run as it stands but for the port, delivers all its events."""
    tools = {tool for tool in ("curl", "nc", "gzip", "bash") if re.search(rf"\b{tool}\b", example)}
    if missing := sorted(tool for tool in tools | {"bash"} if shutil.which(tool) is None):
        pytest.skip(f"needs {', '.join(missing)}")
    async with (
        IngestServer(Ingest(port=0), sink, telemetry) as http,
        UdpListener(Ingest(port=0), sink, telemetry) as udp,
    ):
        port = http.port if "curl" in example else udp.port
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", example.replace("9125", str(port)), stdout=asyncio.subprocess.PIPE
        )
        answer, _ = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 0
    assert sink.events == example.count('"type"')
    if "curl" in example:
        assert json.loads(answer) == {"accepted": sink.events, "rejected": 0, "errors": []}


@pytest.mark.parametrize(
    ("heading", "kind", "prefix"),
    [
        ('`"type": "request"`', Request, ""),
        ('`"type": "log"`', Log, ""),
        ('`"type": "metric"`', Metric, ""),
        ('`"type": "span"`', Span, ""),
        ('`"type": "annotation"`', Annotation, ""),
        ('`"type": "sender"`', Envelope, ""),
        ("`error`: an exception", ErrorInfo, ""),
        ("`error`: an exception", StackFrame, "frames[]."),
    ],
)
def test_every_field_is_described(heading: str, kind: type[Request], prefix: str) -> None:
    """Each field of each kind of event has its line, and no line describes another."""
    rows = re.findall(r"^\| (`[^|]+`) \|", section(heading), re.M)
    described = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}

    expected = {prefix + name for name in kind.__struct_fields__}
    if kind in (ErrorInfo, StackFrame):
        described = {name for name in described if name.startswith("frames[]") == bool(prefix)}
    assert described == expected


def test_codes_levels_and_methods() -> None:
    """The tables of codes and levels are those of the decoder."""
    codes = set(re.findall(r"^\| `([a-z_]+)` \|", section("HTTP"), re.M))

    assert codes == set(Code)
    for level, number in LEVELS.items():
        assert f"{level} ({number})" in section('`"type": "log"`')
    for name in LEVEL_NAMES:
        assert re.search(rf"{name[:5]}", section('`"type": "log"`'))
    for method in METHODS:
        assert method in section('`"type": "request"`')


@pytest.mark.parametrize(
    "said",
    [
        f"{limits.BODY_ITEMS:,} events",
        f"nested in more than {limits.DEPTH} levels",
        f"more than {limits.ATTRIBUTES} `attributes`",
        f"{limits.FIELD_VALUES:,} values in all",
        f"keys of at most {limits.KEY_CHARACTERS} characters",
        f"1-{limits.METRIC_NAME_CHARACTERS} characters",
        f"at most {limits.UNIT_CHARACTERS} characters",
        f"1-{limits.ID_CHARACTERS} characters",
        f"cut at {limits.MESSAGE_BYTES // 1024} KiB",
        f"cut at {limits.ERROR_MESSAGE_BYTES // 1024} KiB",
        f"the last {limits.STACK_FRAMES} are kept",
    ],
)
def test_limits(said: str) -> None:
    """The limits are those of the decoder."""
    assert said in TEXT
