"""
Secrets inside a text, told by their form: `token=…`, `Bearer …`, a URL's password, a key's block.

Every pattern goes through a text once, whatever it holds: what has begun is never given up (`++`),
and what is looked at again is bounded. A word that must be in the text is looked for first.
"""

from __future__ import annotations

import re
import string

from monitord.intake.secret_names import SecretNames, is_counted


REDACTED = "[redacted]"

PEM = re.compile(r"(?P<head>-----BEGIN [A-Z0-9 ]{1,40}+-----)(?P<value>(?:[^-]|-(?!----END ))++)")
JWT = re.compile(
    r"(?P<head>(?<![\w-]))(?P<value>eyJ[\w-]{5,}+\.[\w-]{5,}+(?:\.[\w-]*+){0,3})", re.ASCII
)
AWS = re.compile(r"(?P<head>(?<![A-Za-z0-9]))(?P<value>A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9]))")
# No slash: what follows the host is no password.
USERINFO = re.compile(r"(?P<head>://[^\s/?#@:\"'<>]*+:)(?P<value>[^\s/?#\"'<>]+)(?=@)")
# 'Bearer authentication' and 'Basic support' are prose.
BEARER = re.compile(
    r"(?P<head>\bbearer[ \t]{1,8}+)(?!(?:tokens?|auth\w*|schemes?|realm|error|format|headers?)\b)"
    r"(?P<value>[\w.~+/=-]{6,}+)",
    re.ASCII | re.IGNORECASE,
)
BASIC = re.compile(
    r"(?P<head>\b[Bb](?:asic|ASIC)[ \t]{1,8}+)(?=[A-Z]*+[a-z]*+[A-Z0-9=])"
    r"(?P<value>[A-Za-z0-9+/_=-]{6,}+)"
)

# Between a name and its value: the end of a quoted key or an index, then '=', ':', '=>' or '=='.
CLOSED = r"(?:\\{0,3}+[\"'])?+[\])]{0,2}+"
SIGN = r"[ \t]{0,8}+[=:]{1,3}+>?+[ \t]{0,8}+"
# A header as ASGI has it: (b'cookie', b'...').
PAIRED = r"(?<=['\"]),[ ]?+(?=b['\"])"
# The type of a variable stands between its name and its value.
TYPED = r"[ \t]{0,8}+:[^=\n\"']{1,60}+=[ \t]{0,8}+"
# In quotes, to the closing one; without it, to the end. Its own may be escaped, once or all of it.
PREFIX = r"[bBfFrRuU]{0,2}+"
DOUBLE = rf"{PREFIX}\"(?:[^\"\\]|\\(?s:.)|\\\Z)++"
SINGLE = rf"{PREFIX}'(?:[^'\\]|\\(?s:.)|\\\Z)++"
TRIPLE = (
    rf"{PREFIX}(?:\"\"\"(?:[^\"\\]|\"(?!\"\")|\\(?s:.)|\\\Z)++"
    r"|'''(?:[^'\\]|'(?!'')|\\(?s:.)|\\\Z)++)"
)
QUOTED = f"{TRIPLE}|{DOUBLE}|{SINGLE}"
ESCAPED = (
    r"\\{1,3}+(?:\"(?:[^\"\\]|\\\\\\\"|\\(?!\"))++"
    r"|'(?:[^'\\]|\\\\\\'|\\(?!'))++)"
)
OPENING = re.compile(r"[bBfFrRuU]{0,2}\\{0,3}(?:\"\"\"|'''|[\"'])")
# What a call is given goes as a whole where it begins with a text: SecretStr('...').
INSIDE = (
    r"(?:\"\"\"(?:[^\"\\]|\"(?!\"\")|\\(?s:.)|\\\Z)*+(?:\"\"\")?+"
    r"|'''(?:[^'\\]|'(?!'')|\\(?s:.)|\\\Z)*+(?:''')?+"
    r"|\"(?:[^\"\\]|\\(?s:.)|\\\Z)*+\"?+"
    r"|'(?:[^'\\]|\\(?s:.)|\\\Z)*+'?+"
    r"|[^()\"'])*+"
)
DEEPER = rf"(?:\({INSIDE}\)?+{INSIDE})*+"
GIVEN = rf"{INSIDE}(?:\({INSIDE}{DEEPER}\)?+{INSIDE})*+\)?+"
TEXT = re.compile(rf"\"{{6}}|'{{6}}|(?P<text>{QUOTED})(?P<end>\"\"\"|'''|[\"'])?+|\"\"|''")
CALLED = r"[\w.]{1,60}+\("
CALL = rf"{CALLED}[ ]?+(?={PREFIX}[\"']){GIVEN}"
# Without quotes, to the next word; what closes something is taken where more of the value follows.
BARE = (
    r"(?:[^\s\"'&<>,;)\]}\\]"
    r"|[,;)\]}\\](?![,;)\]}\\]{0,4}+(?:[\s\"'&<>]|\Z|[\w.-]{1,40}+[=:])))"
)
# A list or an object goes as a whole.
NESTED = (
    r"(?:\[(?:[^\[\]]|\[[^\[\]]*+\])*+\]?+"
    r"|\{(?:[^{}]|\{[^{}]*+\})*+\}?+"
    r"|\((?:[^()]|\([^()]*+\))*+\)?+)"
)
SCHEME = r"(?:(?:bearer|basic|digest|negotiate|token|apikey|aws4-hmac-sha256)[ \t]{1,8}+)?+"
# A header of many values that stands there without quotes; one of them may have its own.
COOKIE = r"\"(?:[^\"\n]|\"(?=\w))*+(?:\"|\Z|(?=\n))"
FURTHER = rf"(?:;[ ]?+[^\s;,\"'=&]{{1,200}}+(?:=(?:{COOKIE}|[^\s;,\"'&]*+))?+)"
COOKIES = re.compile(
    rf"(?P<head>cookies?+{SIGN})"
    rf"(?P<value>[^\s;,\"'\[{{(\\][^\s;,\"']*+(?:(?<==){COOKIE}{FURTHER}*+|{FURTHER}++))",
    re.IGNORECASE,
)
PARAMETERS = re.compile(
    rf"(?P<head>authorization{SIGN})"
    r"(?P<value>(?:digest|aws4-hmac-sha256)[ \t]{1,8}+"
    r"(?:,?[ ]?+\w{1,40}+=(?:\"[^\"]*+\"?+|[^\s,\"']*+))++)",
    re.IGNORECASE,
)
# The places of parameters, and what says that there is no value: they hide nothing.
HARMLESS = re.compile(
    r"\?|\$\d+|%s|%\(\w+\)s|:[a-z_]\w*|\*+|none|null|nil|true|false|undefined|\[redacted\]",
    re.IGNORECASE,
)
NUMBER = re.compile(r"[\d.]+")
# Of a key, and the most of them that is looked at.
KEY_SIGNS = string.ascii_letters + string.digits + "_.-"
LONGEST_KEY = 200


class SecretTexts:
    """Redacts texts, and counts what it has redacted in `count`."""

    def __init__(self, names: SecretNames) -> None:
        self.count = 0
        self._names = names
        key = f"(?P<key>{names.key}){CLOSED}"
        bare = f"{SCHEME}(?:{NESTED}|{BARE}){BARE}*+"
        self._in_text = re.compile(
            f"(?P<head>{key}(?:{SIGN}|{PAIRED}))(?P<value>{QUOTED}|{ESCAPED}|{CALL}{BARE}*+|{bare})",
            re.IGNORECASE,
        )
        # Of source only what stands there in quotes: `token = request.token` tells nothing.
        quoted = f"(?P<head>{key}(?:{TYPED}|{SIGN}))(?:(?P<value>{QUOTED})"
        self._in_quotes = re.compile(f"{quoted})", re.IGNORECASE)
        self._in_source = re.compile(f"{quoted}|(?P<call>{CALLED}{GIVEN}))", re.IGNORECASE)

    def without(self, text: str) -> str:
        """Return the text without its secrets; the same object when it has none."""
        lower = text.lower()
        found = self._marked(text, lower)
        if is_signed(text) and self._names.may_be_in(lower):
            found = self._in_text.sub(self._keyed, self._listed(found, lower))
        return text if found == text else found

    def without_marked(self, text: str) -> str:
        """Return the text without what is a secret by its own form, whatever it is called."""
        found = self._marked(text, text.lower())
        return text if found == text else found

    def in_source(self, line: str) -> str:
        """Return a line of source without the secrets that are written in it."""
        lower = line.lower()
        found = self._marked(line, lower)
        if self._names.may_be_in(lower):
            found = self._in_source.sub(self._written, found)
        return line if found == line else found

    def _marked(self, text: str, lower: str) -> str:
        if "-----BEGIN " in text:
            text = PEM.sub(self._hidden, text)
        if "eyJ" in text:
            text = JWT.sub(self._hidden, text)
        if "AKIA" in text or "ASIA" in text:
            text = AWS.sub(self._hidden, text)
        if "://" in text and "@" in text:
            text = USERINFO.sub(self._hidden, text)
        if "bearer" in lower:
            text = BEARER.sub(self._hidden, text)
        if "basic" in lower:
            text = BASIC.sub(self._hidden, text)
        return text

    def _listed(self, text: str, lower: str) -> str:
        if "cookie" in lower and "cookie" in self._names:
            text = COOKIES.sub(self._hidden, text)
        if "authorization" in lower and "authorization" in self._names:
            text = PARAMETERS.sub(self._hidden, text)
        return text

    def _hidden(self, match: re.Match[str]) -> str:
        return match[0] if match["value"] == REDACTED else self._redacted(match["head"])

    def _written(self, match: re.Match[str]) -> str:
        """Return what becomes of a source's value: of a call, of each text it is given."""
        if match["call"] is None:
            return self._keyed(match)
        if self._is_kept(match):
            return match["head"] + self._in_quotes.sub(self._keyed, match["call"])
        return match["head"] + TEXT.sub(self._given, match["call"])

    def _given(self, match: re.Match[str]) -> str:
        opened, secret = opened_and_secret(match["text"] or "")
        if not secret or HARMLESS.fullmatch(secret):
            return match[0]
        return self._redacted(opened) + (match["end"] or "")

    def _keyed(self, match: re.Match[str]) -> str:
        head, key, value = match.group("head", "key", "value")
        opened, secret = opened_and_secret(value)
        if HARMLESS.fullmatch(secret) or self._is_kept(match):
            return match[0]
        if NUMBER.fullmatch(secret) and is_counted(key):
            return match[0]
        return self._redacted(head + opened)

    def _is_kept(self, match: re.Match[str]) -> bool:
        return self._names.keeps and self._names.is_kept(key_before(match) + match["key"])

    def _redacted(self, before: str) -> str:
        self.count += 1
        return before + REDACTED


def is_signed(text: str) -> bool:
    """Say whether a text has what stands between a name and its value."""
    return "=" in text or ":" in text or "b'" in text or 'b"' in text


def opened_and_secret(value: str) -> tuple[str, str]:
    """Return what opens a value, as `b'`, and the value itself."""
    opening = OPENING.match(value)
    end = opening.end() if opening else 0
    return value[:end], value[end:]


def key_before(match: re.Match[str]) -> str:
    """Return what of the key stands before the name in it: `x-` of `x-api-key`."""
    start = match.start("key")
    before = match.string[max(0, start - LONGEST_KEY) : start]
    return before[len(before.rstrip(KEY_SIGNS)) :]
