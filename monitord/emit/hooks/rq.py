"""The jobs of RQ's workers, within the trace of who enqueued them."""

from __future__ import annotations

import contextlib
import functools
import importlib

from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.hits import tell_all
from monitord.emit.hooks.job import FAILURE, SUCCESS, Job
from monitord.emit.hooks.patches import Method, Patches, Undo
from monitord.emit.hooks.step import Recorder, tracing


# How long the process of a job may wait at its end until its events are sent: no longer than one
# attempt takes, for a daemon that is away must not delay the jobs.
FLUSH_S = 0.1

_patches = Patches()


def watch_rq(emitter: Emitter | None = None) -> Undo:
    """
    Record the jobs this process runs from now on, and hand the trace on with those it enqueues,
    as `traceparent` in their `meta`.

    To be called by who enqueues, and by the worker. Returns what ends it.
    """
    _patches.undo()
    watch = Watch(Recorder(emitter).emitter)
    jobs = importlib.import_module("rq.job")
    queues = importlib.import_module("rq.queue")
    worker = importlib.import_module("rq.worker")
    # Older releases have one class of workers.
    base = getattr(worker, "BaseWorker", None) or worker.Worker
    _patches.replace(jobs.Job, "perform", watch.performed)
    _patches.replace(queues.Queue, "create_job", watch.created)
    _patches.replace(queues.Queue, "enqueue_job", watch.enqueued)
    _patches.replace(base, "perform_job", watch.ended)
    return _patches.undo


class Watch:
    """What is put around RQ's methods."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def performed(self, original: Method) -> Method:
        @functools.wraps(original)
        def watched(job: Any) -> Any:
            running = self._begin(job)
            try:
                result = original(job)
            except BaseException as error:
                self._end(running, FAILURE, error)
                raise
            self._end(running, SUCCESS)
            return result

        return watched

    def created(self, original: Method) -> Method:
        @functools.wraps(original)
        def watched(queue: Any, *args: Any, **kwargs: Any) -> Any:
            job = original(queue, *args, **kwargs)
            self._hand_on(job)
            return job

        return watched

    def enqueued(self, original: Method) -> Method:
        @functools.wraps(original)
        def watched(queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            self._hand_on(job)
            return original(queue, job, *args, **kwargs)

        return watched

    def ended(self, original: Method) -> Method:
        """A process that was forked for one job ends without the interpreter's own end."""

        @functools.wraps(original)
        def watched(worker: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(worker, *args, **kwargs)
            finally:
                if worker.is_horse:
                    tell_all()
                    self._emitter.flush(FLUSH_S, once=True)

        return watched

    def _begin(self, job: Any) -> Job | None:
        about = {
            "messaging.system": "rq",
            "messaging.operation.type": "process",
            "messaging.destination.name": job.origin,
            "messaging.message.id": job.id,
        }
        try:
            return Job(self._emitter, job.func_name, about, job.meta)
        except Exception:  # noqa: BLE001 - a job that cannot be read RQ itself fails
            return None

    def _end(self, running: Job | None, outcome: str, error: BaseException | None = None) -> None:
        if running is not None:
            running.end(outcome, error)

    def _hand_on(self, job: Any) -> None:
        if tracing():
            # `meta` is the application's, and may be anything.
            with contextlib.suppress(Exception):
                self._emitter.inject(job.meta)
