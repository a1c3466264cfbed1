"""Tasks of Celery, run at once and by a real worker: their spans, their trace and their metric."""

from __future__ import annotations

import warnings

from collections.abc import Iterator
from typing import Any

import celery
import pytest

from celery.contrib.testing.worker import start_worker

from monitord.emit import Emitter
from monitord.emit.hooks import watch_celery
from tests.emit.hooks.sent import sent, spans
from tests.emit.receiver import Receiver


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    Celery is watched.
    """
    undo = watch_celery(emitter)
    yield
    undo()


@pytest.fixture
def app() -> celery.Celery:
    """
    An application with three tasks, whose broker is this process's memory.
    """
    own = celery.Celery("shop", broker="memory://", backend="cache+memory://", set_as_current=False)
    own.conf.update(task_default_queue="mail", broker_connection_retry_on_startup=False)

    @own.task(name="shop.add", shared=False)
    def add(one: int, other: int) -> int:
        return one + other

    @own.task(name="shop.fail", shared=False)
    def fail() -> None:
        raise LookupError("no such order")

    @own.task(name="shop.again", shared=False, bind=True, max_retries=1)
    def again(self: Any) -> str:
        if not self.request.retries:
            raise self.retry(countdown=0)
        return "done"

    return own


@pytest.fixture
def worker(app: celery.Celery) -> Iterator[None]:
    """
    A worker of the application, in a thread.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with start_worker(app, perform_ping_check=False, pool="solo"):
            yield


def durations(emitter: Emitter, receiver: Receiver) -> list[tuple[str, str]]:
    """Return (job, outcome) of each duration that was sent."""
    found = [
        event for event in sent(emitter, receiver, "metric") if event["name"] == "job.duration"
    ]
    assert all((event["kind"], event["unit"]) == ("histogram", "ms") for event in found)
    assert all(event["value"] >= 0 for event in found)
    return [(event["attributes"]["job"], event["attributes"]["outcome"]) for event in found]


@pytest.mark.usefixtures("watched", "worker")
def test_a_task(app: celery.Celery, emitter: Emitter, receiver: Receiver) -> None:
    """
    It is a step of the trace of who sent it, in the worker, below the span that was current there.
    """
    with emitter.span("page") as page:
        result = app.tasks["shop.add"].delay(1, 2)
    assert result.get(timeout=10) == 3

    found = {span["name"]: span for span in wait(emitter, receiver, 2)}
    task = found["shop.add"]
    assert (task["trace_id"], task["parent_id"]) == (page.trace_id, page.span_id)
    assert task["kind"] == "consumer"
    assert task["attributes"] == {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": result.id,
    }
    assert durations(emitter, receiver) == [("shop.add", "success")]


@pytest.mark.usefixtures("watched", "worker")
def test_a_task_that_fails(app: celery.Celery, emitter: Emitter, receiver: Receiver) -> None:
    """
    Its exception is in its span; sent outside of a trace, it has one of its own.
    """
    result = app.tasks["shop.fail"].delay()
    with pytest.raises(LookupError):
        result.get(timeout=10)

    [task] = wait(emitter, receiver, 1)
    assert (task["name"], task["status"]) == ("shop.fail", "error")
    assert (task["error"]["type"], task["error"]["message"]) == ("LookupError", "no such order")
    assert "parent_id" not in task
    assert durations(emitter, receiver) == [("shop.fail", "failure")]


@pytest.mark.usefixtures("watched", "worker")
def test_a_task_tried_again(app: celery.Celery, emitter: Emitter, receiver: Receiver) -> None:
    """
    Each run is a job; the second is a step of the first, which asked for it.
    """
    assert app.tasks["shop.again"].delay().get(timeout=10) == "done"

    first, second = sorted(wait(emitter, receiver, 2), key=lambda span: "parent_id" in span)
    assert (second["trace_id"], second["parent_id"]) == (first["trace_id"], first["span_id"])
    assert "error" not in first
    assert sorted(durations(emitter, receiver)) == [
        ("shop.again", "retry"),
        ("shop.again", "success"),
    ]


@pytest.mark.usefixtures("watched")
def test_a_task_run_at_once(app: celery.Celery, emitter: Emitter, receiver: Receiver) -> None:
    """
    With `task_always_eager` it is a step of who called it.
    """
    app.conf.task_always_eager = True
    with emitter.span("page") as page:
        assert app.tasks["shop.add"].delay(1, 2).get() == 3
        with emitter.span("after"):
            pass

    task, after, _ = spans(emitter, receiver)
    assert (task["name"], task["parent_id"]) == ("shop.add", page.span_id)
    assert after["parent_id"] == page.span_id


def test_watched_twice_and_undone(app: celery.Celery, emitter: Emitter, receiver: Receiver) -> None:
    """
    Watched twice records once; undone, nothing is.
    """
    app.conf.task_always_eager = True
    watch_celery(emitter)
    undo = watch_celery(emitter)
    app.tasks["shop.add"].delay(1, 2)
    undo()
    app.tasks["shop.add"].delay(1, 2)

    assert [span["name"] for span in spans(emitter, receiver)] == ["shop.add"]


def wait(emitter: Emitter, receiver: Receiver, count: int) -> list[dict[str, Any]]:
    """Wait until the worker has ended its tasks, which is after their results are known."""
    receiver.wait("span", count)
    return spans(emitter, receiver)
