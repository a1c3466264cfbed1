"""Jobs of RQ, run by real workers on Valkey: their spans, their trace and their metric."""

from __future__ import annotations

import time

from collections.abc import Iterator

import pytest
import redis
import rq

from monitord.emit import Emitter, trace_id
from monitord.emit.hooks import watch_rq
from tests.emit.hooks import jobs
from tests.emit.hooks.sent import sent, spans
from tests.emit.receiver import Receiver


@pytest.fixture
def watched(emitter: Emitter) -> Iterator[None]:
    """
    RQ is watched.
    """
    undo = watch_rq(emitter)
    yield
    undo()


@pytest.fixture
def queue(valkey: str) -> Iterator[rq.Queue]:
    """
    An empty queue, `mail`.
    """
    with redis.Redis.from_url(valkey) as connection:
        yield rq.Queue("mail", connection=connection)


def work(queue: rq.Queue, kind: type[rq.worker.BaseWorker] = rq.SimpleWorker) -> None:
    """Run what waits in the queue."""
    kind([queue], connection=queue.connection).work(burst=True)


def outcomes(emitter: Emitter, receiver: Receiver) -> list[tuple[str, str]]:
    """Return (job, outcome) of each duration that was sent."""
    found = sent(emitter, receiver, "metric")
    assert {(event["name"], event["unit"]) for event in found} <= {("job.duration", "ms")}
    return [(event["attributes"]["job"], event["attributes"]["outcome"]) for event in found]


@pytest.mark.usefixtures("watched")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # rq.Worker does, threads or not
@pytest.mark.parametrize("kind", [rq.SimpleWorker, rq.Worker])
def test_a_job(
    queue: rq.Queue, kind: type[rq.worker.BaseWorker], emitter: Emitter, receiver: Receiver
) -> None:
    """
    It is a step of the trace of who enqueued it, also in the process that is forked for it.
    """
    with emitter.span("page") as page:
        job = queue.enqueue(jobs.add, 1, 2)
    work(queue, kind)

    found = {span["name"]: span for span in spans(emitter, receiver)}
    step = found["tests.emit.hooks.jobs.add"]
    assert job.return_value() == 3
    assert (step["trace_id"], step["parent_id"]) == (page.trace_id, page.span_id)
    assert step["kind"] == "consumer"
    assert step["attributes"] == {
        "messaging.system": "rq",
        "messaging.operation.type": "process",
        "messaging.destination.name": "mail",
        "messaging.message.id": job.id,
    }
    assert outcomes(emitter, receiver) == [("tests.emit.hooks.jobs.add", "success")]


@pytest.mark.usefixtures("watched")
def test_a_job_that_fails(queue: rq.Queue, emitter: Emitter, receiver: Receiver) -> None:
    """
    RQ knows of its failure, and its exception is in its span.
    """
    job = queue.enqueue(jobs.fail)
    work(queue)

    [step] = spans(emitter, receiver)
    assert job.is_failed
    assert (step["status"], step["error"]["type"]) == ("error", "LookupError")
    assert "parent_id" not in step
    assert outcomes(emitter, receiver) == [("tests.emit.hooks.jobs.fail", "failure")]


def test_a_job_without_spans(queue: rq.Queue, receiver: Receiver) -> None:
    """
    Where the emitter records no spans a job still has a trace, its metric, and nothing after it.
    """
    own = Emitter(receiver.address, spans=0)
    undo = watch_rq(own)
    job = queue.enqueue(jobs.traced)
    work(queue)
    undo()

    assert job.return_value()
    assert trace_id.get() is None
    assert spans(own, receiver) == []
    assert outcomes(own, receiver) == [("tests.emit.hooks.jobs.traced", "success")]
    own.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # rq.Worker does, threads or not
def test_a_job_while_nobody_listens(queue: rq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The process of a job does not wait at its end for a daemon that is not there.
    """
    monkeypatch.setattr("monitord.emit.hooks.rq.FLUSH_S", 30.0)
    own = Emitter("127.0.0.1:1")
    undo = watch_rq(own)
    job = queue.enqueue(jobs.add, 1, 2)
    started = time.monotonic()
    work(queue, rq.Worker)
    undo()

    assert job.return_value() == 3
    assert time.monotonic() - started < 25
    own.close()


@pytest.mark.usefixtures("watched")
def test_many_at_once(queue: rq.Queue, emitter: Emitter, receiver: Receiver) -> None:
    """
    Jobs that are prepared, or made first and enqueued later, carry the trace as well.
    """
    with emitter.span("page") as page:
        queue.enqueue_many([rq.Queue.prepare_data(jobs.add, (1, 2)) for _ in range(2)])
        own = rq.job.Job.create(jobs.add, (3, 4), connection=queue.connection, meta={"own": 1})
        queue.enqueue_job(own)
    work(queue)

    *steps, _ = sorted(spans(emitter, receiver), key=lambda span: span["name"] == "page")
    assert [step["parent_id"] for step in steps] == [page.span_id] * 3
    assert own.meta["own"] == 1


def test_watched_twice_and_undone(queue: rq.Queue, emitter: Emitter, receiver: Receiver) -> None:
    """
    Watched twice records once; undone, RQ is as it was.
    """
    before = dict(vars(rq.job.Job))
    watch_rq(emitter)
    undo = watch_rq(emitter)
    queue.enqueue(jobs.add, 1, 2)
    work(queue)
    undo()
    queue.enqueue(jobs.add, 1, 2)
    work(queue)

    assert [span["name"] for span in spans(emitter, receiver)] == ["tests.emit.hooks.jobs.add"]
    assert dict(vars(rq.job.Job)) == before
