"""Flask: the WSGI middleware around an application, told of the exceptions Flask answers itself."""

from __future__ import annotations

from typing import Any, TypeVar

from monitord.emit.emitter import Emitter
from monitord.emit.visit import visiting
from monitord.emit.wsgi import MonitordWsgiMiddleware


AppT = TypeVar("AppT", bound=Any)


def watch(app: AppT, emitter: Emitter | None = None, **options: Any) -> AppT:
    """
    Record the requests of a Flask application, which is returned. Imports no Flask.

    `options` are those of MonitordWsgiMiddleware. Flask logs its exceptions by itself.
    """
    options.setdefault("log_errors", False)
    app.wsgi_app = MonitordWsgiMiddleware(app.wsgi_app, emitter, **options)
    app.teardown_request(_note)
    return app


def _note(error: BaseException | None) -> None:
    visit = visiting.get()
    if visit is not None and error is not None:
        visit.note(error)
