"""Annotations as they are read again."""

from __future__ import annotations

import time

from collections.abc import Awaitable, Callable, Sequence

import pytest

from monitord.model import Annotation, Batch, Frame
from monitord.store import annotation_rows
from monitord.store.annotations import AnnotationReader
from monitord.store.pool import Store


Write = Callable[[Sequence[Frame]], Awaitable[None]]

AT = time.time() // 3_600 * 3_600


async def titles(
    store: Store, start: float = AT - 60, end: float = AT + 60, service: str = "", limit: int = 10
) -> list[str]:
    found = await AnnotationReader(store).between(start, end, service, limit)
    return [one.title for one in found]


async def test_annotations_of_a_window(store: Store, write: Write) -> None:
    """
    The newest comes first, as it was written; those of no service concern every one.
    """
    deploy = Annotation(AT, "1.8.2", "shop", "deploy", "by Ada", attributes={"version": "1.8.2"})
    others = [Annotation(AT + 1, "fuse blown"), Annotation(AT + 2, "1.0", "cart", "deploy")]
    await write([Frame(7, 3, Batch(AT, annotations=[deploy, *others]))])

    found = await AnnotationReader(store).between(AT, AT + 1, "", 10)

    [one] = found
    assert (one.id, one.time, one.title) == ("7-3-0", AT, "1.8.2")
    assert (one.service, one.kind, one.text) == ("shop", "deploy", "by Ada")
    assert one.attributes == {"version": "1.8.2"}
    assert await titles(store) == ["1.0", "fuse blown", "1.8.2"]
    assert await titles(store, service="shop") == ["fuse blown", "1.8.2"]
    assert await titles(store, limit=1) == ["1.0"]
    assert await titles(store, end=AT) == []


async def test_annotations_are_capped(
    store: Store, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Of too many the oldest go, whichever came last.
    """
    monkeypatch.setattr(annotation_rows, "MOST", 3)
    notes = [Annotation(AT + n, f"{n}") for n in range(3)]
    await write([Frame(1, 1, Batch(AT, annotations=notes))])
    late = [Annotation(AT - 1, "late"), Annotation(AT + 1.5, "between")]

    await write([Frame(1, 2, Batch(AT, annotations=late))])

    assert await titles(store) == ["2", "between", "1"]
