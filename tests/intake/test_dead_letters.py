"""Refused events are kept in a file, within its bounds, and can be sent again from it."""

import json
import os
import stat

from errno import EIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitord.ingest.native import decode_body
from monitord.intake.dead_letters import DeadLetterFile
from monitord.model import DeadLetter, ErrorInfo, Log, Metric, Request
from monitord.telemetry import Telemetry


NOW = 1_785_585_600.0
EVENTS = [
    Request(NOW, "shop", "GET", "/", 200, 1.0, id="a", error=ErrorInfo("ValueError", "no")),
    Log(NOW, "shop", "INFO", "line\nfeed", fields={"a": [1, None]}),
    Metric(NOW, "depth", 3.0, "shop", attributes={"queue": "mails"}),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dead_letters.jsonl"


def letters(*events: Request | Log | Metric) -> list[DeadLetter]:
    return [DeadLetter(7, 8, index, "no room", event) for index, event in enumerate(events)]


def read(path: Path) -> list[Any]:
    """Return what the lines of the file hold."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def half_written(path: Path) -> None:
    path.write_bytes(b'{"at": 1, "reas')


def last_line(path: Path) -> Any:
    return json.loads(path.read_text().splitlines()[-1])


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def size_of(path: Path) -> int:
    return path.stat().st_size


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def counted(telemetry: Telemetry) -> tuple[float | None, float | None]:
    """Return how many were written, and how many are lost."""
    value = telemetry.registry.get_sample_value
    return value("monitord_dead_letters_total"), value("monitord_dead_letters_lost_total")


async def test_letter_says_why_and_can_be_sent_again(path: Path) -> None:
    """
    A line has the reason, the time, the place and the event, which the native protocol takes back.
    """
    kept = DeadLetterFile(path, Telemetry(), now=lambda: NOW)
    await kept.keep(letters(*EVENTS[:2]))
    await kept.keep(letters(EVENTS[2]))

    lines = read(path)
    first = {key: value for key, value in lines[0].items() if key != "event"}
    assert first == {"at": NOW, "reason": "no room", "writer": 7, "seq": 8, "index": 0}
    body = "\n".join(json.dumps(one["event"]) for one in lines).encode()
    again = decode_body(body, NOW)
    assert [*again.requests, *again.logs, *again.metrics] == EVENTS
    assert again.rejected == 0


async def test_file_is_its_owners_alone(path: Path) -> None:
    """
    Nobody else reads the file, also after its older half was let go.
    """
    kept = DeadLetterFile(path, Telemetry(), limit_bytes=1_000)
    for _ in range(10):
        await kept.keep(letters(*EVENTS))

        assert mode_of(path) == 0o600


async def test_full_file_lets_its_older_half_go(path: Path) -> None:
    """
    The file never grows beyond its limit; the newest letters are in it and the others counted.
    """
    telemetry = Telemetry()
    kept = DeadLetterFile(path, telemetry, limit_bytes=5_000)
    for n in range(100):
        await kept.keep(letters(Metric(NOW, "n", float(n))))

        assert size_of(path) <= 5_000

    values = [line["event"]["value"] for line in read(path)]
    assert values == [float(n) for n in range(100 - len(values), 100)]
    assert len(values) >= 15
    assert counted(telemetry) == (100, 100 - len(values))


async def test_flood_larger_than_the_file_keeps_the_newest(path: Path) -> None:
    """
    More letters at once than the file may hold leave the last of them.
    """
    telemetry = Telemetry()
    flood = [Metric(NOW, "n", float(n)) for n in range(1_000)]

    await DeadLetterFile(path, telemetry, limit_bytes=5_000).keep(letters(*flood))

    assert read(path)[-1]["event"]["value"] == 999
    assert size_of(path) <= 2_500
    assert counted(telemetry) == (1_000, 1_000 - len(read(path)))


@pytest.mark.parametrize(
    "event",
    [
        Log(NOW, "shop", "INFO", "\ud800"),
        Log(NOW, "shop", "INFO", "x", fields={"a": object()}),
        msgspec.structs.replace(EVENTS[0], route=None),
        Metric(NOW, "n", float("nan")),
    ],
)
async def test_event_json_cannot_hold_has_its_line(path: Path, event: Request | Log) -> None:
    """
    Whatever made the store refuse an event, its line can be read and so can the next one.
    """
    telemetry = Telemetry()
    await DeadLetterFile(path, telemetry).keep(letters(event, EVENTS[2]))

    lines = read(path)
    assert [line["index"] for line in lines] == [0, 1]
    assert lines[0]["event"]
    assert counted(telemetry) == (2, 0)


async def test_line_cut_by_a_crash_spoils_no_other(path: Path) -> None:
    """
    What a crash left half written is ended before the next line begins.
    """
    half_written(path)

    await DeadLetterFile(path, Telemetry()).keep(letters(EVENTS[2]))

    assert last_line(path)["reason"] == "no room"


class Disk:
    """The system call at its border: what a power cut would leave of one file, and its name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: dict[int, bytes] = {}
        self.named = 0

    def __call__(self, descriptor: int) -> None:
        os.fsync(descriptor)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            assert status.st_ino == self.path.parent.stat().st_ino
            self.named = self.path.stat().st_ino
        else:
            self.contents[status.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()

    @property
    def left(self) -> bytes | None:
        return self.contents.get(self.named)


async def test_what_was_kept_outlives_a_power_cut(path: Path) -> None:
    """
    The file's bytes and its name are on disk before the frame may be given up: made, grown, halved.
    """
    disk = Disk(path)
    kept = DeadLetterFile(path, Telemetry(), limit_bytes=1_500, sync=disk)
    for _ in range(5):
        await kept.keep(letters(*EVENTS))

        assert disk.left == bytes_of(path)
    assert len(disk.contents) > 1


async def test_letters_a_disk_cannot_sync_are_counted_as_lost(path: Path) -> None:
    """
    What the kernel does not vouch for is not said to be kept.
    """

    def failing(descriptor: int) -> None:
        raise OSError(EIO, "Input/output error")

    telemetry = Telemetry()
    await DeadLetterFile(path, telemetry, sync=failing).keep(letters(*EVENTS))

    assert counted(telemetry) == (0, 3)


async def test_disk_that_refuses_raises_nothing(tmp_path: Path) -> None:
    """
    Without a folder to write to the letters are counted as lost, and nobody is stopped.
    """
    telemetry = Telemetry()

    await DeadLetterFile(tmp_path / "none" / "file.jsonl", telemetry).keep(letters(*EVENTS))

    assert counted(telemetry) == (0, 3)
