"""What the error codes of Redis mean to who reads the page, and what mends them."""

from __future__ import annotations

import re

from msgspec import Struct

from monitord.model import Reason, ScrapeError
from monitord.scrapers.redis.address import Address
from monitord.scrapers.redis.connection import ReplyError
from monitord.scrapers.text import one_line


# Everything monitord ever sends; the rest stays denied.
ACL = "resetkeys resetchannels -@all +ping +info +client|setname"

SET_PASSWORD = "set the target's password, or redis://USER:PASSWORD@HOST in its url"


class Meaning(Struct, frozen=True):
    """Of an error that starts with `prefix`. An empty `detail` shows the server's own words."""

    prefix: str
    reason: Reason
    detail: str = ""
    remedy: str = ""


MEANINGS = (
    Meaning("NOAUTH", Reason.AUTH, "the server wants a password", SET_PASSWORD),
    Meaning("WRONGPASS", Reason.AUTH, "wrong user or password", SET_PASSWORD),
    Meaning("ERR invalid password", Reason.AUTH, "wrong password", SET_PASSWORD),
    Meaning(
        "ERR Client sent AUTH, but no password is set",
        Reason.AUTH,
        "the server has no password, but one is set here",
        "remove the password from the target",
    ),
    Meaning(
        "ERR AUTH <password> called without any password",
        Reason.AUTH,
        "the server has no password, but one is set here",
        "remove the password from the target",
    ),
    Meaning(
        "LOADING", Reason.LOADING, "the server loads its data", "nothing to do: it takes a while"
    ),
    Meaning(
        "BUSY",
        Reason.LOADING,
        "a script has kept the server busy for too long",
        "SCRIPT KILL (or FUNCTION KILL) ends it",
    ),
    Meaning(
        "MASTERDOWN",
        Reason.LOADING,
        "the replica has lost its primary and serves no stale data",
        "bring the primary back, or: CONFIG SET replica-serve-stale-data yes",
    ),
    Meaning(
        "ERR max number of clients reached",
        Reason.REFUSED,
        "max number of clients reached",
        "raise maxclients, or find who keeps the connections: CLIENT LIST",
    ),
    Meaning(
        "DENIED",
        Reason.PERMISSION,
        "protected mode: the server takes connections from its own machine only",
        "give the server a password (requirepass) or an ACL user",
    ),
    Meaning(
        "ERR unknown command",
        Reason.MISSING,
        "",
        "the command was renamed or disabled on the server (rename-command): allow it",
    ),
)


def failure(error: ReplyError, address: Address, command: str) -> ScrapeError:
    """Return what it means that the server refused `command`."""
    text = one_line(error)
    if text.startswith("NOPERM"):
        denied = denied_command(text, command)
        detail = f"user {user(address)} may not run {denied.upper().replace('|', ' ')}"
        return ScrapeError(Reason.PERMISSION, detail, grant(address, denied))
    for meaning in MEANINGS:
        if text.startswith(meaning.prefix):
            return ScrapeError(meaning.reason, meaning.detail or text, meaning.remedy)
    return ScrapeError(Reason.ERROR, text)


def denied_command(text: str, sent: str) -> str:
    """Return the command that a NOPERM names, as an ACL line writes it: `client|setname`."""
    found = re.search(r"'([a-z|_-]+)' command", text)
    named = found[1] if found else sent
    # Redis 6 names the container alone, though the rule is on the subcommand.
    return sent if sent.startswith(f"{named}|") else named


def grant(address: Address, command: str) -> str:
    """Return the statement that allows one command."""
    return f"ACL SETUSER {user(address)} +{command}"


def user(address: Address) -> str:
    return address.user or "default"
