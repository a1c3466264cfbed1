"""`monitord spool dead-letters`: what the store has refused, newest last, and how many for what."""

from __future__ import annotations

import json

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec

from msgspec import Struct

from monitord.logs import escaped
from monitord.spool_commands.letters import Letter, Line, said
from monitord.spool_commands.words import counted, moment, one_line


# Reasons told apart; they may hold what the events do.
REASONS = 10
EVENT_CHARACTERS = 100


class Listing(Struct):
    """The newest letters, and what is to be said of all; `reasons` has the most frequent first."""

    newest: list[Letter] = []
    letters: int = 0
    reasons: dict[str, int] = {}
    unreadable_lines: int = 0
    last_line_is_cut: bool = False


def listing_of(lines: Iterable[Line], limit: int) -> Listing:
    """Count the letters, and keep the last `limit` of them."""
    newest: deque[Letter] = deque(maxlen=limit)
    reasons = Counter[str]()
    listing = Listing()
    for line in lines:
        if line.letter is not None:
            newest.append(line.letter)
            reasons[line.letter.reason] += 1
        elif line.ended:
            listing.unreadable_lines += 1
        else:
            listing.last_line_is_cut = True
    listing.newest, listing.letters = list(newest), reasons.total()
    listing.reasons = dict(reasons.most_common())
    return listing


def as_text(listing: Listing, path: Path) -> Iterator[str]:
    """Yield the lines for people. What comes from outside obeys no terminal and breaks no line."""
    for letter in listing.newest:
        words = (moment(letter.at), one_line(letter.reason), one_line(letter.type, 10))
        yield "  ".join((*words, one_line(said(letter), EVENT_CHARACTERS)))
    if listing.letters:
        shown = len(listing.newest)
        newest = f", of which the newest {shown} are above" if shown < listing.letters else ""
        yield f"{counted(listing.letters, 'dead letter')} in {one_line(str(path))}{newest}"
    else:
        yield f"no dead letters in {one_line(str(path))}"
    for reason, count in islice(listing.reasons.items(), REASONS):
        yield f"{count:8}  {one_line(reason)}"
    if len(listing.reasons) > REASONS:
        yield f"          and {counted(len(listing.reasons) - REASONS, 'other reason')}"
    if listing.unreadable_lines:
        yield f"besides, {counted(listing.unreadable_lines, 'line')} without a letter"
    if listing.last_line_is_cut:
        yield "the last line is cut off: it is being written, or a crash has cut it"


def as_json(listing: Listing) -> str:
    """Return all of it as one JSON document in ASCII."""
    return escaped(json.dumps(msgspec.to_builtins(listing)))
