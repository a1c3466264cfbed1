"""What is read of stored samples: the right series, put together per step by the right rule."""

from collections.abc import Awaitable, Callable, Sequence

import pytest

from monitord.model import Batch, Frame, Metric, MetricKind
from monitord.store.metrics import Aggregate, MetricReader
from monitord.store.pool import Store


Write = Callable[[Sequence[Frame]], Awaitable[None]]

AT = 1_785_585_600.0  # a full hour


def sample(
    second: float, value: float, kind: MetricKind = "gauge", name: str = "m", **attributes: str
) -> Metric:
    return Metric(AT + second, name, value, kind=kind, attributes=attributes)


async def test_series_are_found_by_some_of_their_attributes(store: Store, write: Write) -> None:
    """
    Asking with fewer attributes gives every series that has them, each with all of its own.
    """
    samples = [
        sample(0, 1, target="main", state="active"),
        sample(0, 2, target="main", state="idle"),
        sample(0, 3, target="other", state="idle"),
        sample(0, 4, name="n", target="main"),
    ]
    await write([Frame(1, 1, Batch(AT, metrics=samples))])
    reader = MetricReader(store)

    both = await reader.points("m", {"target": "main"}, AT, AT + 10, 10)
    one = await reader.points("m", {"target": "main", "state": "idle"}, AT, AT + 10, 10)

    assert both == [
        ({"target": "main", "state": "active"}, [1.0]),
        ({"target": "main", "state": "idle"}, [2.0]),
    ]
    assert one == both[1:]
    assert await reader.points("m", {"target": "absent"}, AT, AT + 10, 10) == []
    assert await reader.names() == ["m", "n"]


async def test_pushed_series_stand_apart(store: Store, write: Write) -> None:
    """
    Series are asked for by who pushed them, those scraped by nobody; each says whose it is.
    """
    scraped = sample(0, 1, target="main")
    pushed = Metric(AT, "m", 9, service="shop", attributes={"target": "main"})
    await write([Frame(1, 1, Batch(AT, metrics=[pushed, scraped]))])
    reader = MetricReader(store)

    async def asked(service: str | None) -> list[tuple[dict[str, str], list[float | None]]]:
        found = await reader.points("m", {}, AT, AT + 10, 10, service=service)
        return sorted(found, key=lambda series: series[1][0] or 0)

    assert await asked("") == [({"target": "main"}, [1.0])]
    assert await asked("shop") == [({"target": "main", "service": "shop"}, [9.0])]
    assert await asked(None) == await asked("") + await asked("shop")


@pytest.mark.parametrize(
    ("kind", "aggregate", "expected"),
    [
        ("gauge", None, [4.0, None, 7.0]),
        ("gauge", "avg", [4.0, None, 7.0]),
        ("gauge", "max", [6.0, None, 7.0]),
        ("gauge", "min", [1.0, None, 7.0]),
        ("gauge", "last", [5.0, None, 7.0]),
        ("gauge", "sum", [12.0, None, 7.0]),
        ("counter", None, [12.0, None, 7.0]),
        ("counter", "avg", [4.0, None, 7.0]),
        ("histogram", None, [4.0, None, 7.0]),
        ("histogram", "max", [6.0, None, 7.0]),
        ("histogram", "min", [1.0, None, 7.0]),
        ("histogram", "sum", [12.0, None, 7.0]),
        ("histogram", "last", [4.0, None, 7.0]),
    ],
)
async def test_samples_of_a_step_are_put_together(
    store: Store,
    write: Write,
    kind: MetricKind,
    aggregate: Aggregate | None,
    expected: list[float | None],
) -> None:
    """
    A counter's increments add up, a gauge's values are averaged unless another rule is asked for;
    a step without a sample is None.
    """
    samples = [
        sample(second, value, kind) for second, value in ((1, 1), (21, 6), (59, 5), (120, 7))
    ]
    await write([Frame(1, 1, Batch(AT, metrics=samples))])

    found = await MetricReader(store).points("m", {}, AT, AT + 180, 60, aggregate)

    assert found == [({}, expected)]


async def test_window_ends_before_its_end(store: Store, write: Write) -> None:
    """
    A sample at the window's start is in it, one at its end is not.
    """
    await write([Frame(1, 1, Batch(AT, metrics=[sample(0, 1), sample(10, 2), sample(20, 3)]))])

    assert await MetricReader(store).points("m", {}, AT, AT + 20, 10) == [({}, [1.0, 2.0])]


async def test_attributes_are_data(store: Store, write: Write) -> None:
    """
    Quotes, backslashes and braces in a name or an attribute are compared, not interpreted.
    """
    odd = '\'); DROP TABLE series; --\\ {"a": 1} %'
    await write([Frame(1, 1, Batch(AT, metrics=[sample(0, 1, name=odd, key=odd)]))])

    assert await MetricReader(store).points(odd, {"key": odd}, AT, AT + 10, 10) == [
        ({"key": odd}, [1.0])
    ]
