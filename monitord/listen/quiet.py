"""Where aiohttp's request handler logs: a client's broken HTTP is no error of ours."""

import logging

import structlog

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError


log = structlog.get_logger()


class ServerLog(logging.Logger):
    """Takes what aiohttp's handler logs: a client's broken HTTP is no error of ours."""

    def __init__(self, key: str) -> None:
        super().__init__(f"monitord.{key}", logging.INFO)
        self._key = key

    def handle(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError | ConnectionError):
            log.debug("http.bad_request", listener=self._key, error=type(error).__name__)
        else:
            log.error(
                "http.failed",
                listener=self._key,
                what=record.getMessage(),
                error=repr(error),
                exc_info=error,
            )
