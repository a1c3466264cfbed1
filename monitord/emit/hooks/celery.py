"""The tasks of Celery's workers as jobs, within the trace of who sent them."""

from __future__ import annotations

import importlib

from collections.abc import Mapping
from typing import Any

from monitord.emit.emitter import Emitter
from monitord.emit.hooks.job import FAILURE, RETRY, SUCCESS, Job
from monitord.emit.hooks.patches import Patches, Undo
from monitord.emit.hooks.step import Recorder, tracing


# A task's state at its end -> the outcome; any other is the state itself, in lower case.
OUTCOMES = {"SUCCESS": SUCCESS, "FAILURE": FAILURE, "RETRY": RETRY}

JOB, ERROR = "_monitord_job", "_monitord_error"

_patches = Patches()


def watch_celery(emitter: Emitter | None = None) -> Undo:
    """
    Record the tasks this process runs from now on, and hand the trace on with those it sends.

    To be called where the application is made: by who sends, and by the worker. Returns what ends
    it.
    """
    _patches.undo()
    signals = importlib.import_module("celery.signals")
    watch = Watch(Recorder(emitter).emitter)
    for name in ("before_task_publish", "task_prerun", "task_failure", "task_postrun"):
        _connect(getattr(signals, name), getattr(watch, name))
    return _patches.undo


def _connect(signal: Any, receiver: Any) -> None:
    signal.connect(receiver, weak=False)
    _patches.add(lambda: signal.disconnect(receiver))


class Watch:
    """What Celery calls. What it raises Celery would log: it raises nothing."""

    def __init__(self, emitter: Emitter) -> None:
        self._emitter = emitter

    def before_task_publish(self, headers: Any = None, **_: Any) -> None:
        if headers is not None and tracing():
            self._emitter.inject(headers)

    def task_prerun(self, task_id: Any = None, task: Any = None, **_: Any) -> None:
        try:
            request = task.request
            carried = {**(request.headers or {}), **vars(request)}
            job = Job(self._emitter, task.name, _about(task_id, request), carried)
            vars(request)[JOB] = job
        except Exception:  # noqa: BLE001 - the task runs, recorded or not
            pass

    def task_failure(self, sender: Any = None, exception: Any = None, **_: Any) -> None:
        request = getattr(sender, "request", None)
        if request is not None:
            vars(request)[ERROR] = exception

    def task_postrun(self, task: Any = None, state: Any = None, **_: Any) -> None:
        own = vars(task.request)
        job: Job | None = own.pop(JOB, None)
        error = own.pop(ERROR, None)
        if job is not None:
            job.end(OUTCOMES.get(str(state)) or str(state or "unknown").lower(), error)


def _about(task_id: Any, request: Any) -> Mapping[str, Any]:
    queue = (request.delivery_info or {}).get("routing_key")
    about = {
        "messaging.system": "celery",
        "messaging.operation.type": "process",
        "messaging.message.id": str(task_id),
    }
    return {**about, "messaging.destination.name": str(queue)} if queue else about
