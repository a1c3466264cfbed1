"""A real WSGI server and a client. With one thread, what was served is over when the block is."""

from __future__ import annotations

import contextlib
import http.client
import threading

from collections.abc import Iterator
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(app: Any, *, threaded: bool = False) -> Iterator[int]:
    """Serve a WSGI application on a port, the value of the block."""
    server = make_server("127.0.0.1", 0, app, threaded=threaded, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the answer; of headers `_` is `-`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=given)
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    except http.client.IncompleteRead as error:
        return 0, {}, error.partial
    finally:
        connection.close()
