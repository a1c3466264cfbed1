"""Text and exceptions made fit for PostgreSQL: nothing is refused, nothing else is changed."""

import json

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from monitord.model import ErrorInfo, StackFrame
from monitord.store.fingerprint import fingerprint
from monitord.store.text import clean, json_bytes, utf8


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


@settings(max_examples=200, deadline=None)
@given(ANY_TEXT)
def test_clean_text_can_be_stored(text: str) -> None:
    """
    Whatever comes in, what goes out is valid UTF-8 without NUL; good text is left as it is.
    """
    good = "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)

    assert "\0" not in clean(text)
    assert utf8(text) == clean(text).encode()
    assert (clean(text) == text) is good


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(ANY_TEXT, JSON, max_size=3))
def test_json_has_nothing_jsonb_refuses(value: dict[str, object]) -> None:
    """
    A document holds no NUL, no lone surrogate, no NaN and no infinity, and is JSON.
    """

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json_bytes(value).decode()

    def texts(part: object) -> list[str]:
        if isinstance(part, dict):
            return [*part, *(text for each in part.values() for text in texts(each))]
        if isinstance(part, list):
            return [text for each in part for text in texts(each)]
        return [part] if isinstance(part, str) else []

    assert not any("\0" in text for text in texts(json.loads(document, parse_constant=refuse)))


def error(*frames: StackFrame, kind: str = "ValueError", message: str = "no") -> ErrorInfo:
    return ErrorInfo(kind, message, list(frames))


OURS = StackFrame("shop/a.py", 7, "buy")
THEIRS = StackFrame("lib/db.py", 70, "execute", in_app=False)


@pytest.mark.parametrize(
    "other",
    [
        error(OURS, THEIRS, message="another"),
        error(StackFrame("shop/a.py", 8, "buy", "x = 1"), THEIRS),
        error(OURS),
        error(OURS, StackFrame("lib/db.py", 1, "connect", in_app=False)),
    ],
)
def test_same_exception_has_the_same_number(other: ErrorInfo) -> None:
    """
    Message, line numbers, source and other people's frames do not tell exceptions apart.
    """
    assert fingerprint(other) == fingerprint(error(OURS, THEIRS))


@pytest.mark.parametrize(
    "other",
    [
        error(OURS, THEIRS, kind="KeyError"),
        error(StackFrame("shop/b.py", 7, "buy"), THEIRS),
        error(StackFrame("shop/a.py", 7, "sell"), THEIRS),
        error(OURS, OURS, THEIRS),
        error(THEIRS),
        error(),
    ],
)
def test_another_exception_has_another_number(other: ErrorInfo) -> None:
    """
    Type and the functions passed in our own code tell exceptions apart.
    """
    assert fingerprint(other) != fingerprint(error(OURS, THEIRS))


def test_number_fits_its_column() -> None:
    """
    The number is a signed 64-bit one, the same in every process.
    """
    assert -(2**63) <= fingerprint(error(OURS)) < 2**63
    assert fingerprint(error()) == fingerprint(error(kind="ValueError"))
