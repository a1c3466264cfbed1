"""
`monitord spool replay`: dead letters go into the spool again, while no monitord runs.

Not over the network: there a time more than an hour old would be moved, and what was scraped would
get a service. The spool takes an event as it is.
"""

from __future__ import annotations

import os
import time

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct, structs

from monitord.embedded.lock import FolderLock
from monitord.errors import SpoolError
from monitord.intake.intake import SAID
from monitord.intake.spool.spool import Refusal, Spool, SpoolLimits, open_spool
from monitord.model import LISTS, Batch, type_of
from monitord.settings import Settings
from monitord.spool_commands.letters import FILE, Letter, Line, NotAnEvent, event_of, read
from monitord.spool_commands.words import counted, one_line


# Frames between two waits for the disk.
STRETCH = 1_000


class Plan(Struct):
    """
    The lines of the file by what is to become of them: `keys[n]` is that of line n, or None.

    One event may have two lines, after a crash: they have one key, and one of them is sent.
    """

    lines: list[Line]
    keys: list[str | None]
    ready: dict[str, Batch]
    kept: Counter[str]


def plan_of(lines: Iterable[Line], now: float) -> Plan:
    """Sort out what can be sent again."""
    plan = Plan([], [], {}, Counter())
    for line in lines:
        plan.lines.append(line)
        try:
            key, batch = ready(line, now)
        except NotAnEvent as error:
            plan.keys.append(None)
            plan.kept[str(error)] += 1
        else:
            plan.keys.append(key)
            plan.ready[key] = batch
    return plan


def ready(line: Line, now: float) -> tuple[str, Batch]:
    """Return the key of a letter, and its event as a batch. Raises NotAnEvent."""
    if line.letter is None:
        raise NotAnEvent("the line is no letter")
    event = event_of(line.letter)
    key = key_of(line.letter)
    batch = Batch(now, size_bytes=len(line.text), idempotency_key=key)
    return key, structs.replace(batch, **{LISTS[type_of(event)]: [event]})


def key_of(letter: Letter) -> str:
    """
    Return what a letter is known by to the store, which takes one batch of a key within a day.

    Of the place alone where the event was refused: a replay that was cut off is simply done again.
    """
    return f"dead letter {letter.writer}-{letter.seq}-{letter.type}-{letter.index}"


async def replay(
    settings: Settings, now: Callable[[], float] = time.time
) -> tuple[int, Counter[str]]:
    """
    Put the dead letters into the spool, and out of their file once they are safe there.

    Return how many went, and how many stay for which reason. Raises MonitordError: a monitord
    runs, or the folder, the file or the spool cannot be used. Then nothing is lost.
    """
    path = settings.state_dir / FILE
    if not _is_ours(path):
        return 0, Counter()
    limits = SpoolLimits(
        spool_bytes=settings.spool.size_bytes, free_bytes=settings.spool.keep_free_bytes
    )
    with FolderLock(settings.state_dir):
        plan = plan_of(read(path), now())
        if not plan.ready:
            return 0, plan.kept
        async with open_spool(settings.state_dir / "spool", int(now() * 1000), limits) as spool:
            taken, refused = await spooled(spool, plan.ready)
        kept = zip(plan.lines, plan.keys, strict=True)
        _rewrite(path, [line for line, key in kept if key not in taken])
    return len(taken), plan.kept + refused


async def spooled(spool: Spool, batches: dict[str, Batch]) -> tuple[set[str], Counter[str]]:
    """Return the keys of the batches that are safe on disk, and why the others are not."""
    taken: set[str] = set()
    refused = Counter[str]()
    items = list(batches.items())
    for start in range(0, len(items), STRETCH):
        waiting = set()
        for key, batch in items[start : start + STRETCH]:
            outcome = spool.append(batch)
            if isinstance(outcome, Refusal):
                refused[SAID[outcome][0]] += 1
            else:
                waiting.add(key)
        try:
            await spool.settled()
        except SpoolError as error:
            refused[str(error)] += len(waiting)
        else:
            taken |= waiting
    return taken, refused


def as_text(sent: int, kept: Counter[str], path: Path, *, dry_run: bool) -> Iterator[str]:
    """Yield what became of the letters, or with `dry_run` would."""
    if not sent and not kept:
        yield f"no dead letters in {one_line(str(path))}"
        return
    if sent:
        done = (
            "would be sent"
            if dry_run
            else "sent; monitord stores what the spool holds when it runs"
        )
        yield f"{counted(sent, 'event')} {done}"
    if kept:
        stay = "would be kept" if dry_run else "kept"
        yield f"{counted(kept.total(), 'line')} {stay} in {one_line(str(path))}"
    for reason, count in kept.most_common():
        yield f"{count:8}  {one_line(reason)}"


def _is_ours(path: Path) -> bool:
    """Say whether the file is there. Raises SpoolError: it is not for us to change."""
    try:
        owner = path.stat().st_uid
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SpoolError(f"{path}: cannot be read ({error.strerror})") from error
    if owner != os.geteuid():
        # The daemon could not open what we would write in its place.
        raise SpoolError(f"{path}: belongs to another user (number {owner}); replay as that user")
    return True


def _rewrite(path: Path, lines: Sequence[Line]) -> None:
    """Leave these lines in the file; remove it when there are none. Raises SpoolError."""
    draft = path.with_suffix(".replayed")
    try:
        if lines:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.writelines(line.text + b"\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        else:
            path.unlink()
        _sync_folder(path.parent)
    except OSError as error:
        raise SpoolError(
            f"{path}: its events are in the spool, but it cannot be rewritten ({error.strerror}); "
            "make room and replay again within a day: nothing is stored twice"
        ) from error


def _sync_folder(path: Path) -> None:
    """Make the names in a folder durable: what was sent must not be in its file again."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
