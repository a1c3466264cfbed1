"""Secrets never get further than the intake: by name, by form, at any depth, in linear time."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import pytest

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from monitord.errors import NotTaken
from monitord.ingest.decoded import Decoded
from monitord.ingest.native import decode_body
from monitord.ingest.settle import take_all
from monitord.intake import redact
from monitord.intake.bus import Bus
from monitord.intake.intake import Intake
from monitord.intake.redact import Redactor
from monitord.intake.secret_names import LAST_NAMES, NAMES, SecretNames
from monitord.intake.secret_texts import SecretTexts
from monitord.intake.spool import record
from monitord.intake.spool.spool import open_spool
from monitord.intake.sql_literals import without_literals
from monitord.intake.window import Window
from monitord.model import (
    LISTS,
    Annotation,
    Batch,
    ErrorInfo,
    Event,
    Frame,
    Log,
    Metric,
    Request,
    Span,
    StackFrame,
)
from monitord.settings import Redact
from monitord.telemetry import Telemetry


NOW = 1_795_459_200.0
EXAMPLES = settings(max_examples=300, deadline=None, derandomize=True, database=None)
HIDDEN = "[redacted]"
# Linear, it takes a hundredth of it; quadratic, hours.
ENOUGH_CPU_SECONDS = 20.0


def redactor(**changes: Any) -> Redactor:
    return Redactor(Redact(**changes), Telemetry())


def log(message: str = "", **fields: Any) -> Log:
    return Log(NOW, "shop", "INFO", message, fields=fields)


def span(**attributes: Any) -> Span:
    return Span(NOW, "shop", "0" * 32, "0" * 16, "SELECT", 1.0, attributes=attributes)


def batch(*events: Event) -> Batch:
    lists: dict[str, list[Any]] = {
        name: [event for event in events if event.__struct_config__.tag == tag]
        for tag, name in LISTS.items()
    }
    return Batch(NOW, **lists)


def redacted(message: str, **changes: Any) -> str:
    [taken] = redactor(**changes).batch(batch(log(message))).logs
    return taken.message


def fields(raw: dict[str, Any], **changes: Any) -> dict[str, Any]:
    [taken] = redactor(**changes).batch(batch(log(**raw))).logs
    return taken.fields


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2 user=bob", "password=[redacted] user=bob"),
        ("user_password: hunter2, kept", "user_password: [redacted], kept"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=[redacted] psql"),
        ("accessToken=hunter2&page=2", "accessToken=[redacted]&page=2"),
        ("Password=a,b;c$d;Pooling=true", "Password=[redacted];Pooling=true"),
        ("login(user=bob, secret=x), again", "login(user=bob, secret=[redacted]), again"),
        ('{"password": "hun\\"ter2", "a": 1}', '{"password": "[redacted]", "a": 1}'),
        ('{\\"api_key\\": \\"x\\", \\"a\\": 1}', '{\\"api_key\\": \\"[redacted]\\", \\"a\\": 1}'),
        ("{'x-api-key': 'hunter2', 'b': 2}", "{'x-api-key': '[redacted]', 'b': 2}"),
        ("'secret' => 'hunter2', 'b' => 2", "'secret' => '[redacted]', 'b' => 2"),
        ("headers: (b'cookie', b'a=b')", "headers: (b'cookie', b'[redacted]')"),
        ('password="no end', 'password="[redacted]'),
        ('"cookies": {"sid": {"a": 1}}, "b": 2', '"cookies": [redacted], "b": 2'),
        ('"set-cookie": ["sid=x", "b"], "c"', '"set-cookie": [redacted], "c"'),
        ("Cookie: sid=x; theme=dark and on", "Cookie: [redacted] and on"),
        ("Authorization: Bearer abc.def-1 in 5 ms", "Authorization: [redacted] in 5 ms"),
        ("sent Bearer abcdefgh1 to it", "sent Bearer [redacted] to it"),
        ("sent Basic dXNlcjpwYXNz to it", "sent Basic [redacted] to it"),
        ('Authorization: Digest username="x", response="y" no', "Authorization: [redacted] no"),
        ("jwt eyJhbGciOi.eyJzdWIi.abc-_d end", "jwt [redacted] end"),
        ("postgres://u:p@ss@db/x failed", "postgres://u:[redacted]@db/x failed"),
        ("redis://:hunter2@cache:6379/0", "redis://:[redacted]@cache:6379/0"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key [redacted] used"),
        (
            "-----BEGIN PRIVATE KEY-----\nMII-x\n-----END PRIVATE KEY----- ok",
            "-----BEGIN PRIVATE KEY-----[redacted]-----END PRIVATE KEY----- ok",
        ),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII", "-----BEGIN RSA PRIVATE KEY-----[redacted]"),
        ("session=hunter2 sessionid: hunter2", "session=[redacted] sessionid: [redacted]"),
        ("[(b'x-api-key', b'hunter2')] sent", "[(b'x-api-key', b'[redacted]')] sent"),
        ("password='''hun'ter2''', a", "password='''[redacted]''', a"),
        ('password="""hun"ter2 x""" a', 'password="""[redacted]""" a'),
        ("password=SecretStr('hunter2 x') y", "password=[redacted] y"),
        ("f(token=a.b(\"x)\", g('y'), 'z'), c=1)", "f(token=[redacted], c=1)"),
        ("password=Secret('no end, b", "password=[redacted]"),
        ('Cookie: a="x y"; b=hunter2; c="z" and on', "Cookie: [redacted] and on"),
        ('Cookie: a="hunter2 x" and on', "Cookie: [redacted] and on"),
        ('cookie: a="no end', "cookie: [redacted]"),
    ],
)
def test_secrets_in_a_text_are_hidden(text: str, expected: str) -> None:
    """
    Only the value goes; what it was called and what stands beside it stay.
    """
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Order 48213 placed in 12.5 ms",
        "secretary: Anna, tokenizer=bert, passwordless=yes",
        "max_tokens=4096, total tokens: 5",
        "session_duration_ms=5",
        "bearer authentication failed: Basic support only",
        "WHERE password = $1 AND token = ? AND secret = %(secret)s",
        "password: None, token=null, secret: ****",
        "http://host:80/path?mail=a@b",
        "see eyJhbGciOi",
        "line\n-----BEGIN of the story-----",
        "password:",
    ],
)
def test_harmless_texts_are_kept(text: str) -> None:
    """
    What only looks like a secret is the same object afterwards.
    """
    whole = batch(log(text))

    assert redactor().batch(whole) is whole


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"password": "x"}, {"password": HIDDEN}),
        ({"User-Password": 5}, {"User-Password": HIDDEN}),
        ({"x-api-key": ["x"], "a": 1}, {"x-api-key": HIDDEN, "a": 1}),
        ({"http.request.header.cookie": ["a=b"]}, {"http.request.header.cookie": HIDDEN}),
        (
            {"a": {"b": [{"accessKey": "x", "c": "d"}]}},
            {"a": {"b": [{"accessKey": HIDDEN, "c": "d"}]}},
        ),
        ({"a": [["cookie", "x"], ["host", "h"]]}, {"a": [["cookie", HIDDEN], ["host", "h"]]}),
        ({"a": {"name": "token", "value": "x"}}, {"a": {"name": "token", "value": HIDDEN}}),
        ({"dsn": "pg://u:x@h", "n": None}, {"dsn": "pg://u:[redacted]@h", "n": None}),
        ({"a": ["token=x", 1, True]}, {"a": ["token=[redacted]", 1, True]}),
        ({"db.query.text": "a = 'x'", "sql": "b = 1"}, {"db.query.text": "a = ?", "sql": "b = ?"}),
        ({"db.query.parameter.0": "x"}, {"db.query.parameter.0": "?"}),
        ({"sql": {"a": {"secret": "x"}, "b": 1}}, {"sql": {"a": {"secret": HIDDEN}, "b": 1}}),
        (
            {"db.statement": 'a = "x"', "db.system": "mysql"},
            {"db.statement": "a = ?", "db.system": "mysql"},
        ),
        ({"db.query.text": ["a = 'x'", ["b = 1"]]}, {"db.query.text": ["a = ?", ["b = ?"]]}),
        (
            {"db.statement": "AUTH hunter2 x", "db.system": "redis"},
            {"db.statement": "AUTH ?", "db.system": "redis"},
        ),
        (
            {"db.query.text": ["'hunter2'", " PING "], "db.system.name": "valkey"},
            {"db.query.text": ["?", " PING "], "db.system.name": "valkey"},
        ),
    ],
)
def test_values_are_hidden_by_their_keys(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """
    In fields as in attributes of spans, in any case, nested, and with '-', '_' or a capital.
    """
    [taken] = redactor().batch(batch(span(**found))).spans

    assert fields(found) == taken.attributes == expected
    assert fields(expected) == expected


@pytest.mark.parametrize(
    "found",
    [
        {"password": None, "has_token": True, "secret": ""},
        {"max_tokens": 4096, "sessions": 3, "a": [1, {"b": "c"}]},
        {"secretary": "Anna", "author": "Bob", "keyboard": "x", "passing": 1},
        {"sql": "SELECT a FROM t WHERE b = $1"},
    ],
)
def test_harmless_values_are_kept(found: dict[str, Any]) -> None:
    """
    Nothing to hide: the same objects, without a copy.
    """
    whole = batch(log(**found), span(**found))

    assert redactor().batch(whole) is whole


def test_every_place_of_every_event_is_looked_at() -> None:
    """
    Messages, errors, source lines, names, attributes and texts, of each type.
    """
    secret = "token=canary and more"
    frames = [
        StackFrame(source='connect(password="canary", user=u)'),
        StackFrame(source="token: str = 'canary'"),
        StackFrame(source="token = '''canary'''"),
        StackFrame(source='token = get(name, "canary", str(b"canary"))'),
        StackFrame(source="token = request.token"),
    ]
    error = ErrorInfo("ValueError", secret, frames)
    attributes = {"api_key": "canary", "a": secret}
    whole = batch(
        Request(NOW, "shop", "GET", "/", 500, 1.0, error=error),
        Log(NOW, "shop", "INFO", secret, fields=attributes, error=error),
        Metric(NOW, "n", 1.0, "shop", attributes=attributes),
        Span(NOW, "shop", "0" * 32, "0" * 16, secret, 1.0, attributes=attributes, error=error),
        Annotation(NOW, secret, text=secret, attributes=attributes),
    )
    telemetry = Telemetry()

    text = str(Redactor(Redact(), telemetry).batch(whole))

    assert "canary" not in text
    assert text.count("and more") == 11
    assert text.count("token = request.token") == 3
    assert telemetry.total("monitord_redacted_values_total") == 30


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "api_key: Final = get(\"X\", 'hunter2')",
            "api_key: Final = get(\"[redacted]\", '[redacted]')",
        ),
        ("f(token=str('', b'x', a(1)), b='c')", "f(token=str('', b'[redacted]', a(1)), b='c')"),
        ('token = """a\'"b""" + c', 'token = """[redacted]""" + c'),
        ("token = read(path, 'no end", "token = read(path, '[redacted]"),
        ('token = f("""""", "a")', 'token = f("""""", "[redacted]")'),
        ("token = read(path)(1)", "token = read(path)(1)"),
    ],
)
def test_of_a_source_line_what_stands_in_quotes_is_hidden(line: str, expected: str) -> None:
    """
    Behind a name, and in a call behind it: of each text the inside.
    """
    texts = SecretTexts(SecretNames())

    assert texts.in_source(line) == expected
    assert texts.in_source(expected) == expected


def test_an_event_without_secrets_stays_the_same_one() -> None:
    """
    Beside one that is changed, the others are what they were.
    """
    good, bad = log("fine", a=1), log("token=x")
    requests = [Request(NOW, "shop", "GET", "/", 200, 1.0)]

    result = redactor().batch(Batch(NOW, requests=requests, logs=[good, bad]))

    assert result.requests is requests
    assert result.logs[0] is good
    assert result.logs[1].message == "token=[redacted]"


def test_names_are_the_users_too() -> None:
    """
    `keys` adds names, of any word in a key; `keep` takes a whole key or one of the usual names out.
    """
    found = {"iban": "x", "user_iban": "x", "Taliban": "y", "token_type": "z", "my_token": "x"}
    expected = {
        "iban": HIDDEN,
        "user_iban": HIDDEN,
        "Taliban": "y",
        "token_type": "z",
        "my_token": HIDDEN,
    }
    text = "user_iban=x token_type=z cookie=y my_token=x"

    assert redacted("a pin=x and KEY=x", keys=("-pin", "_key_")) == (
        "a pin=[redacted] and KEY=[redacted]"
    )
    assert redacted("token=x", keep=(*NAMES, *LAST_NAMES)) == "token=x"
    assert fields(found, keys=("iban",), keep=("token-type",)) == expected
    assert redacted(text, keys=("iban",), keep=("tokenType", "cookie")) == (
        "user_iban=[redacted] token_type=z cookie=y my_token=[redacted]"
    )


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 'it''s', 1.5e-3, 0x1F, -5 FROM t1", "SELECT ?, ?, ?, -? FROM t1"),
        ("a = E'it\\'s' AND b = N'x' AND c = X'FF'", "a = ? AND b = ? AND c = ?"),
        ("a = $$it's$$ AND b = $q$ $$ 'x $q$ AND c = $1", "a = ? AND b = ? AND c = $1"),
        ('SELECT "it\'s ""1""", `b1` FROM "t"', 'SELECT "it\'s ""1""", `b1` FROM "t"'),
        (
            "a = :name AND b = %s AND c = @p1 AND d = ?",
            "a = :name AND b = %s AND c = @p1 AND d = ?",
        ),
        ("a -- it's x\n= /* y */ 1 /* z", "a  \n=   ?  "),
        ("a /* b /* c */ d */ = 1", "a  "),
        ("a = 'no end, b = 2", "a = ?"),
        ("a = 'C:\\' AND b = 'x'", "a = ?"),
        ("a = q'[it's]' AND b = 1", "a = ?"),
        ("x::int4 ->> 'k' IN (1,22)", "x::int4 ->> ? IN (?,?)"),
        ('a = "no end', "a = ?"),
        ("1.5e-30$x$a$x$", "??"),
        ("IN (1, -2, 'it''s', t1.a) /1", "IN (?, -?, ?, t1.a) /?"),
        ("1,'a',1e-5+.5,$1,'b\\'c', 'd'", "?,?,?+.?,$1,?"),
        ("1,'a' -- 2\n'b' 3", "?,?  \n? ?"),
        ("", ""),
    ],
)
def test_literals_of_a_statement_are_hidden(statement: str, expected: str) -> None:
    """
    Strings and numbers become `?`, comments go, names and places of parameters stay.
    """
    assert without_literals(statement)[0] == expected


def test_mysql_has_literals_of_its_own() -> None:
    """
    There a text may stand in double quotes, and a backslash hides a quote.
    """
    statement = "SELECT `a` FROM t WHERE b = \"it's\" AND c = 'it\\'s' AND d = 5 # it's x"

    shown, count = without_literals(statement, "mysql")

    assert shown == "SELECT `a` FROM t WHERE b = ? AND c = ? AND d = ?  "
    assert count == 3


SQL = st.text("a1e.'\"\\$/*-\n`:@?qnE#_ ", max_size=60)
PIECES = st.sampled_from(
    [
        *("password", "token", "x-api-key", "cookie", "authorization", "session", "s", "=", ": "),
        *('"', "'", "\\", '\\"', " ", "&", ",", ";", "; ", "[", "]", "{", "}", "(", ")", "=>"),
        *("Bearer ", "Basic ", "aB3dEf9h", "eyJabcdef", ".", "://", "@", "u", HIDDEN, "[redac"),
        *("-----BEGIN A-----", "-----END A-----", "AKIAIOSFODNN7EXAMPLE", "null", "?", "5", "-"),
        *(":", "\n", "\ud800", "f(", "'''", '"""', "b'", ', b"', 'cookie: a="', '"; b=c'),
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@EXAMPLES
@given(SQL, st.sampled_from([None, "mysql"]))
def test_no_literal_is_left_in_a_statement(statement: str, system: str | None) -> None:
    """
    Whatever the statement, what comes out has no literal and goes through unchanged.
    """
    shown, _ = without_literals(statement, system)

    assert len(shown) <= len(statement)
    assert "'" not in re.sub(r'"(?:[^"]|"")*"|`[^`]*`', "", shown)
    assert without_literals(shown, system)[0] == shown


@EXAMPLES
@given(
    st.lists(
        st.sampled_from(["'{}'", "'a''{}'", "E'\\'{}'", "$${}$$", "$t${}$t$", "/*{}*/", "--{}\n"])
        | st.sampled_from(["SELECT", "a", '"b c"', "`d'`", "=", ",", "(", ")", "$1", "::", "\n"]),
        max_size=12,
    )
)
def test_well_formed_statements_lose_their_literals_only(tokens: list[str]) -> None:
    """
    The names and signs around the literals are those that were there, in their order.
    """
    statement = " ".join(token.replace("{}", "canary1") for token in tokens)
    kept = ["?" if "{}" in t else t for t in tokens if not t.startswith(("/*", "--"))]

    shown, _ = without_literals(statement)

    assert "canary" not in shown
    assert shown.split() == " ".join(kept).split()


@EXAMPLES
@given(TEXTS)
def test_redaction_of_a_text_is_idempotent(text: str) -> None:
    """
    What was redacted once is not changed again, nor counted.
    """
    texts = SecretTexts(SecretNames())
    for hide in (texts.without, texts.in_source, texts.without_marked):
        once = hide(text)
        texts.count = 0

        assert hide(once) is once
        assert texts.count == 0


@EXAMPLES
@given(st.text("canryCANRY0123456789!#$%^*+~.-_/", min_size=8, max_size=30))
def test_no_value_of_a_name_is_left(secret: str) -> None:
    """
    Whatever a secret is made of, with or without quotes around it.
    """
    assume(secret not in HIDDEN and secret.strip("*."))
    for text in (
        f"password={secret} a",
        f'{{"password": "{secret}", "a": 1}}',
        f"pg://u:{secret.replace('/', 'x').replace('#', 'x')}@h a",
        f"my_token: {secret}",
    ):
        assert secret not in redacted(text), text


KEYS = st.sampled_from(["a", "password", "x-api-key", "sql", "db.query.text", "name", "value"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | SQL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
ERRORS = st.none() | st.fixed_dictionaries(
    {
        "type": st.just("E"),
        "message": TEXTS,
        "frames": st.lists(st.fixed_dictionaries({"source": TEXTS}), max_size=2),
    }
)
LONG = st.sampled_from(["pwd=x " * 200, "pwd=x " * 166, "pwd=\N{SNOWMAN} " * 6_000, "a" * 1_000])
STRINGS = st.dictionaries(KEYS, TEXTS | LONG.map(lambda text: text[:1_000]), max_size=3)
EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("request"), "service": st.just("s"), "method": st.just("GET")}
        | {"route": st.just("/"), "status": st.just(500), "duration_ms": st.just(1)},
        optional={"error": ERRORS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("log"), "service": st.just("s"), "level": st.just("INFO")}
        | {"message": TEXTS | LONG, "fields": st.dictionaries(KEYS, VALUES | LONG, max_size=3)},
        optional={"error": ERRORS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("span"), "service": st.just("s"), "duration_ms": st.just(1)}
        | {"name": TEXTS.map(lambda text: text or "n"), "trace_id": st.just("0" * 32)}
        | {"span_id": st.just("0" * 16), "attributes": st.dictionaries(KEYS, VALUES | LONG)},
        optional={"error": ERRORS},
    ),
    st.fixed_dictionaries(
        {"type": st.just("metric"), "name": st.just("n"), "value": st.just(1)}
        | {"attributes": STRINGS}
    ),
    st.fixed_dictionaries(
        {"type": st.just("annotation"), "title": TEXTS.map(lambda text: text or "t")}
        | {"text": TEXTS | LONG, "attributes": STRINGS}
    ),
)


@settings(EXAMPLES, max_examples=150)
@given(st.lists(EVENTS, max_size=4))
def test_whatever_was_decoded_is_redacted_within_the_rules(events: list[dict[str, Any]]) -> None:
    """
    It never raises, keeps what each event is and its limits, fits the spool, and is done once.
    """
    decoded = decode_body(json.dumps(events).encode(), NOW)
    taken = Batch(NOW, **{name: getattr(decoded, name) for name in LISTS.values()})
    telemetry = Telemetry()
    hide = Redactor(Redact(), telemetry).batch

    once = hide(taken)
    counted = telemetry.total("monitord_redacted_values_total")

    again = [event for name in LISTS.values() for event in getattr(once, name)]
    assert take_all(again, NOW, Decoded()) or not take_all(list(everything(taken)), NOW, Decoded())
    frame = Frame(1, 1, once)
    header = record.header_at(b"".join(record.encode(frame, 7)))
    assert header is not None
    assert record.decode(header, record.encode(frame, 7)[1]) == (frame, 0)
    assert hide(once) is once
    assert telemetry.total("monitord_redacted_values_total") == counted


def everything(taken: Batch) -> Iterator[Event]:
    for name in LISTS.values():
        yield from getattr(taken, name)


HOSTILE = [
    *("password=", "pwd", "pwd=[", "pwd={", "pwd=(", "[{(", "token:token:", "token = ", "a,b;c)"),
    *(
        "eyJ",
        "eyJaaaaaa",
        "eyJaaaaaa.",
        "://",
        "://a:",
        "://a:b@",
        "a@",
        "AKIA",
        "AKIAAAAAAAAAAAAA",
    ),
    *("-----BEGIN A-----", "-----BEGIN ", "-----END ", "bearer ", "Basic Aa", "basic aaaa"),
    *("cookie=a;", "cookie: a; b", "authorization: digest a=", ",a=", "\\", '\\"', '"', "'", "\n"),
    *(
        "token=f('",
        "token=f(",
        "token=f('a'",
        "f(('",
        "'''",
        '"""',
        'cookie: a="x"; ',
        'cookie=a="',
    ),
    *("1 ", "1,'", "'a',", "-1", "1-'a\\"),
    *("$a$", "$", "$a", "/*", "--", "q'", "E'\\", "'\\'", '""', "`", "1e", ":1", "@", "/**/"),
]


@contextmanager
def enough_time() -> Iterator[None]:
    """Fail rather than run for hours: this is the processor's time, not the clock's."""

    def fail(number: int, frame: FrameType | None) -> None:
        raise AssertionError("this takes more than linear time")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, ENOUGH_CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_is_linear(piece: str) -> None:
    """
    A megabyte made to be looked through again and again is looked through once.
    """
    texts = SecretTexts(SecretNames(("iban",), ("token_type",)))
    # With a name and a sign in it, nothing spares the text a closer look.
    text = "token = 1 " + piece * (1024 * 1024 // len(piece))
    with enough_time():
        texts.without(text)
        texts.in_source(text)


@pytest.mark.parametrize("system", [None, "mysql"])
@pytest.mark.parametrize("piece", HOSTILE)
def test_time_for_a_statement_is_linear(piece: str, system: str | None) -> None:
    """
    So is a megabyte of what may begin a literal and never ends it.
    """
    with enough_time():
        without_literals(piece * (1024 * 1024 // len(piece)), system)


def test_a_long_batch_is_redacted_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    With a pause where the time of a step is over, and the same result; without secrets, the same.
    """
    monkeypatch.setattr(redact, "STEP_SECONDS", 0.0)
    good = Request(NOW, "shop", "GET", "/", 200, 1.0)
    logs = [log("fine"), log("token=x"), log("fine too")]
    telemetry = Telemetry()
    whole = Batch(NOW, requests=[good], logs=logs, metrics=[Metric(NOW, "n", 1.0, "shop")])

    pauses, result = stepped(Redactor(Redact(), telemetry), whole)

    assert pauses == 5
    assert result == redactor().batch(whole)
    assert (result.logs[0] is logs[0], result.requests is whole.requests) == (True, True)
    assert telemetry.total("monitord_redacted_values_total") == 1
    assert stepped(redactor(), batch(logs[0], good)) == (2, batch(logs[0], good))
    assert stepped(redactor(), batch(good)) == (0, batch(good))


def stepped(redactor: Redactor, whole: Batch) -> tuple[int, Batch]:
    steps, pauses = redactor.steps(whole), 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return pauses, end.value
        pauses += 1


class Watched(dict[str, Any]):
    """Fields that know which threads looked at them."""

    threads: ClassVar[set[int]] = set()

    def items(self) -> Any:
        self.threads.add(threading.get_ident())
        return super().items()


@pytest.mark.parametrize(("size_bytes", "elsewhere"), [(100_000, True), (1_000, False)])
async def test_a_large_delivery_is_redacted_beside_the_loop(
    tmp_path: Path, size_bytes: int, elsewhere: bool
) -> None:
    """
    The loop goes on meanwhile. What is small is not worth a thread.
    """
    telemetry = Telemetry()
    Watched.threads.clear()
    async with open_spool(tmp_path / "spool", 42) as spool:
        intake = Intake(spool, Window(lambda: NOW), Bus(), Redactor(Redact(), telemetry))
        watched = Log(NOW, "shop", "INFO", "token=x", fields=Watched(token="x"))
        await intake.deliver(Batch(NOW, logs=[watched], size_bytes=size_bytes))
        [frame] = await spool.next(10, 10_000)

    assert frame.batch.logs[0].fields == {"token": HIDDEN}
    assert (threading.get_ident() not in Watched.threads) is elsewhere
    assert telemetry.total("monitord_redacted_values_total") == 2


async def test_more_deliveries_than_can_be_redacted_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What waits is held in memory: it is bounded, and the sender told when to come again.
    """
    monkeypatch.setattr(redact, "WAITING_BYTES", 150_000)
    async with open_spool(tmp_path / "spool", 42) as spool:
        intake = Intake(spool, Window(lambda: NOW), Bus(), redactor())
        large = Batch(NOW, logs=[log("token=x")], size_bytes=100_000)
        deliveries = [asyncio.create_task(intake.deliver(large)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(NotTaken, match="than can be redacted") as refusal:
            intake.check_room()
        intake.offer(batch(log("small")))
        outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        intake.check_room()

    assert refusal.value.crowded
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [NotTaken] * 2


async def test_deliveries_at_once_are_counted_exactly(tmp_path: Path) -> None:
    """
    No redaction in a thread takes a count from another, or from the loop.
    """
    telemetry = Telemetry()
    large = Batch(NOW, logs=[log("token=x") for _ in range(500)], size_bytes=100_000)
    async with open_spool(tmp_path / "spool", 42) as spool:
        intake = Intake(spool, Window(lambda: NOW), Bus(), Redactor(Redact(), telemetry))
        deliveries = [asyncio.create_task(intake.deliver(large)) for _ in range(6)]
        await asyncio.sleep(0)
        assert intake.offer(large)
        await asyncio.gather(*deliveries)

    assert telemetry.total("monitord_redacted_values_total") == 3_500


async def test_the_intake_hides_before_it_keeps_or_shows(tmp_path: Path) -> None:
    """
    Neither the spool nor the window nor the bus ever has the secret, whichever way it came.
    """
    bus = Bus()
    async with open_spool(tmp_path / "spool", 42) as spool:
        intake = Intake(spool, Window(lambda: NOW), bus, redactor())
        intake.offer(batch(log("token=canary offered")))
        list(intake.offering(batch(log("token=canary stepped"))))
        await intake.deliver(batch(log("token=canary delivered")))

        kept = [frame.batch.logs[0].message for frame in await spool.next(10, 10_000)]
        written = on_disk(tmp_path)
    assert kept == [f"token=[redacted] {way}" for way in ("offered", "stepped", "delivered")]
    assert [line.log.message for line in bus.recent(10).lines] == kept
    assert b"delivered" in written
    assert b"canary" not in written


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
