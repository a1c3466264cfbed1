"""A shop in Flask that has never heard of OpenTelemetry."""

import logging
import sys

from flask import Flask
from werkzeug.serving import make_server


app = Flask(__name__)
log = logging.getLogger("shop.orders")


@app.get("/orders/<int:number>")
def order(number: int) -> str:
    log.warning("order %d is asked for", number)
    return str(number)


@app.get("/broken")
def broken() -> str:
    raise KeyError("stock")


if __name__ == "__main__":
    server = make_server("127.0.0.1", 0, app)
    print(server.server_port, flush=True)  # noqa: T201
    sys.stdin.close()
    server.serve_forever()
