"""`monitord spool`: what is in the spool, what the store refused, and sending that again."""

from __future__ import annotations

import argparse
import asyncio
import time

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from monitord.settings import Settings
from monitord.spool_commands import inspecting, listing, replaying
from monitord.spool_commands.letters import FILE, read


class Answer(NamedTuple):
    """What a command has to say, and whether all is as it should be."""

    lines: Iterable[str]
    good: bool


def inspect(arguments: argparse.Namespace, settings: Settings) -> Answer:
    """Show the spool; it is good when it is sound. Raises SpoolError."""
    report = inspecting.report_of(settings.state_dir / "spool")
    said = [inspecting.as_json(report)] if arguments.json else inspecting.as_text(report)
    return Answer(said, report.is_sound)


def dead_letters(arguments: argparse.Namespace, settings: Settings) -> Answer:
    """Show the newest dead letters, and count all. Raises SpoolError."""
    path = settings.state_dir / FILE
    found = listing.listing_of(read(path), arguments.limit)
    said = [listing.as_json(found)] if arguments.json else listing.as_text(found, path)
    return Answer(said, good=True)


def replay(arguments: argparse.Namespace, settings: Settings) -> Answer:
    """
    Send the dead letters again, or say what that would do; it is good when none is left.

    Raises MonitordError.
    """
    path = settings.state_dir / FILE
    if arguments.dry_run:
        plan = replaying.plan_of(read(path), time.time())
        sent, kept = len(plan.ready), plan.kept
    else:
        sent, kept = asyncio.run(replaying.replay(settings))
    said = replaying.as_text(sent, kept, path, dry_run=arguments.dry_run)
    return Answer(said, good=not kept)


COMMANDS: Mapping[str, Callable[[argparse.Namespace, Settings], Answer]] = {
    "inspect": inspect,
    "dead-letters": dead_letters,
    "replay": replay,
}
