"""Query parameters: what is taken, and how a refusal reads."""

import pytest

from multidict import MultiDict

from monitord.http import parameters
from monitord.http.parameter import BadParameter, Parameter, refuse_unknown
from monitord.http.parameters import (
    AGGREGATE,
    ATTRIBUTES,
    BEFORE,
    END,
    LEVEL,
    LIMIT,
    RANGE,
    START,
    TEXT,
    Span,
    span_of,
)


NOW = 1_795_459_200.0


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (RANGE, "15m", 900.0),
        (RANGE, "30d", 2_592_000.0),
        (START, "1795459200.5", 1_795_459_200.5),
        (LEVEL, "error", 17),
        (LEVEL, "INFO", 9),
        (LIMIT, "1000", 1_000),
        (TEXT, "ä' OR 1=1 --", "ä' OR 1=1 --"),
        (BEFORE, "1795459200123-42-0", "1795459200123-42-0"),
        (AGGREGATE, "max", "max"),
        (ATTRIBUTES, "target:main,state:active", {"target": "main", "state": "active"}),
        (ATTRIBUTES, "mountpoint:C:", {"mountpoint": "C:"}),
    ],
)
def test_taken(parameter: Parameter[object], text: str, value: object) -> None:
    """
    A text within the rule becomes its value.
    """
    assert parameter.of(MultiDict({parameter.name: text})) == value


@pytest.mark.parametrize("parameter", [RANGE, START, LEVEL, LIMIT, TEXT, BEFORE, ATTRIBUTES])
@pytest.mark.parametrize("texts", [[], [""]])
def test_default(parameter: Parameter[object], texts: list[str]) -> None:
    """
    What is absent or empty, as an untouched form field is, has its default.
    """
    sent = MultiDict([(parameter.name, text) for text in texts])

    assert parameter.of(sent) == parameter.default


@pytest.mark.parametrize(
    ("parameter", "text", "rule"),
    [
        (RANGE, "2h", "expected one of 15m, 1h, 6h, 24h, 7d, 30d"),
        (START, "yesterday", "expected a time in Unix seconds"),
        (START, "1795459200123", "expected a time in Unix seconds"),
        (START, "nan", "expected a time in Unix seconds"),
        (START, "-5", "expected a time in Unix seconds"),
        (START, "\u0661\u0662", "expected a time in Unix seconds"),
        (LEVEL, "LOUD", "expected one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        (LIMIT, "0", "expected a whole number from 1 to 1000"),
        (LIMIT, "1001", "expected a whole number from 1 to 1000"),
        (LIMIT, "1_0", "expected a whole number from 1 to 1000"),
        (LIMIT, "9" * 5_000, "expected a whole number from 1 to 1000"),
        (TEXT, "x" * 201, "expected at most 200 characters, none of them NUL"),
        (TEXT, "a\0b", "expected at most 200 characters, none of them NUL"),
        (BEFORE, "1-2", "expected the id of a log line, such as 1795459200123-42-0"),
        (
            ATTRIBUTES,
            "target",
            "expected name:value pairs with commas between, 500 characters at most",
        ),
        (
            AGGREGATE,
            "median",
            "expected one of avg, min, max, sum, last, p50, p95, p99",
        ),
    ],
)
def test_refused(parameter: Parameter[object], text: str, rule: str) -> None:
    """
    A refusal names parameter, rule and what was found, which is cut to 200 characters.
    """
    with pytest.raises(BadParameter) as caught:
        parameter.of(MultiDict({parameter.name: text}))

    assert caught.value.parameter == parameter.name
    assert caught.value.rule == rule
    assert caught.value.found == text[:200]


def test_twice() -> None:
    """
    Of two values none is picked silently.
    """
    with pytest.raises(BadParameter) as caught:
        RANGE.of(MultiDict([("range", "1h"), ("range", "6h")]))

    assert (caught.value.rule, caught.value.found) == ("expected once", "1h, 6h")


def test_unknown() -> None:
    """
    A mistyped name is refused with the names there are.
    """
    with pytest.raises(BadParameter) as caught:
        refuse_unknown(MultiDict({"rnage": "1h"}), [RANGE, START, END])

    assert caught.value.parameter == "rnage"
    assert caught.value.rule == "unknown parameter; known are end, range, start"


@pytest.mark.parametrize(
    ("query", "span"),
    [
        ({}, Span(NOW - 3_600, NOW)),
        ({"range": "15m"}, Span(NOW - 900, NOW)),
        ({"start": "1795455600"}, Span(NOW - 3_600, NOW)),
        ({"start": "1795400000", "end": "1795400060"}, Span(1_795_400_000, 1_795_400_060)),
    ],
)
def test_span(query: dict[str, str], span: Span) -> None:
    """
    A range ends now; so does a start without an end.
    """
    assert span_of(MultiDict(query), NOW) == span


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"range": "1h", "start": "1795400000"}, "range"),
        ({"end": "1795400000"}, "start"),
        ({"start": "1795459200", "end": "1795459200"}, "start"),
        ({"start": "1795459200", "end": "1795400000"}, "start"),
        ({"start": "1", "end": "1795400000"}, "start"),
    ],
)
def test_no_span(query: dict[str, str], parameter: str) -> None:
    """
    A stretch that is turned round, too short, too long or asked for twice is refused.
    """
    with pytest.raises(BadParameter) as caught:
        span_of(MultiDict(query), NOW)

    assert caught.value.parameter == parameter


def test_documented_patterns_match_the_rules() -> None:
    """
    The schema of each parameter says its default and its words as they are read.
    """
    assert parameters.RANGE.schema["enum"] == list(parameters.RANGES)
    assert parameters.RANGE.schema["default"] == "15m"
    assert parameters.LIMIT.schema == {
        "type": "integer",
        "minimum": 1,
        "maximum": 1_000,
        "default": 100,
    }
