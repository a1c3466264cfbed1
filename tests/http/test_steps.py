"""The steps of a trace: their order, how deep each lies, and what is shown of its attributes."""

from __future__ import annotations

from typing import Any

import pytest

from hypothesis import given
from hypothesis import strategies as st

from monitord.http.steps import SHOWN, VALUE_CHARACTERS, Step, facts, steps
from monitord.http.traces import FullTrace, TracedRequest
from monitord.model import ErrorInfo
from monitord.store.traces import Cut, TraceSpan


def span(
    span_id: str, parent_id: str | None = None, start: float = 0.0, **changes: Any
) -> TraceSpan:
    given = {
        "duration_ms": 5.0,
        "service": "shop",
        "name": span_id,
        "kind": "internal",
        "status": "unset",
        "error": False,
        "error_id": None,
        "attributes": {},
        "exception": None,
    }
    return TraceSpan(span_id=span_id, parent_id=parent_id, start=start, **(given | changes))


def request(start: float = 0.0, duration_ms: float = 80.0, service: str = "shop") -> TracedRequest:
    return TracedRequest(
        start=start,
        duration_ms=duration_ms,
        service=service,
        method="GET",
        route="/cart",
        status=200,
        error=False,
        error_id=None,
    )


def made(spans: list[TraceSpan], requests: list[TracedRequest] | None = None) -> list[Step]:
    trace = FullTrace(
        trace_id="a" * 32,
        start=None,
        end=None,
        requests=requests or [],
        spans=spans,
        logs=[],
        errors=[],
        cut=Cut(requests=False, spans=False, logs=False),
    )
    return steps(trace)


def tree(found: list[Step]) -> list[tuple[str, int]]:
    return [(step.name, step.depth) for step in found]


def test_children_stand_below_their_parent() -> None:
    """
    Each span comes after the one it is a part of, before what began later beside that.
    """
    spans = [span("a"), span("b", start=1.0), span("c", "a", 2.0), span("d", "c", 3.0)]

    assert tree(made(spans)) == [("a", 0), ("c", 1), ("d", 2), ("b", 0)]


def test_a_request_and_its_own_span_are_one_step() -> None:
    """
    The server's span of the same moments stands for the request, another server's does not.
    """
    own = span("own", kind="server", start=0.001, duration_ms=79.0)

    assert tree(made([own], [request()])) == [("own", 0)]
    assert tree(made([own], [request(service="pay")])) == [("GET /cart", 0), ("own", 1)]
    assert tree(made([own], [request(start=1.0)])) == [("GET /cart", 0), ("own", 1)]


def test_a_parent_that_is_not_stored_is_none() -> None:
    """
    Spans whose parent is unknown are first ones, below the request when there is one.
    """
    assert tree(made([span("a", "gone")])) == [("a", 0)]
    assert tree(made([span("a", "gone")], [request()])) == [("GET /cart", 0), ("a", 1)]


def test_a_ring_of_parents_is_shown_once() -> None:
    """
    Spans that are each other's parents, or their own, are all shown, none twice.
    """
    ring = [span("a", "b"), span("b", "a"), span("c", "c")]

    assert sorted(step.name for step in made(ring)) == ["a", "b", "c"]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["a", "b", "c", "x", None]))))
def test_every_span_is_a_step(pairs: list[tuple[str, str | None]]) -> None:
    """
    Whatever ids and parents spans have, twice the same ids too, each is one step.
    """
    found = made([span(*pair, name=str(place)) for place, pair in enumerate(pairs)])

    assert sorted(int(step.name) for step in found) == list(range(len(pairs)))


def test_a_deep_trace_needs_no_stack() -> None:
    """
    A chain of more spans than calls may be nested is walked.
    """
    spans = [span(f"{n:x}", f"{n - 1:x}" if n else None) for n in range(5_000)]

    assert made(spans)[-1].depth == 4_999


@pytest.mark.parametrize("value", ["x" * 1_000, {"a": ["x" * 1_000]}])
def test_facts_are_few_and_short(value: Any) -> None:
    """
    What says most of a step comes first, no more than there is room for, none without an end.
    """
    names = {f"n{number:02}": value for number in range(20)}

    found = list(facts(names | {"db.query.text": "SELECT 1", "cache.hit": True}))

    assert found[:2] == [("db.query.text", "SELECT 1"), ("cache.hit", "true")]
    assert [name for name, _ in found[2:]] == [f"n{number:02}" for number in range(SHOWN - 2)]
    assert max(len(text) for _, text in found) == VALUE_CHARACTERS


def test_an_exception_is_type_and_message() -> None:
    """
    The exception of a span is one line of words.
    """
    failed = span("a", exception=ErrorInfo("shop.Declined", "no"), error=True, status="error")

    [step] = made([failed])

    assert (step.exception, step.error, step.status) == ("shop.Declined: no", True, "error")
