"""A shop in FastAPI that has never heard of OpenTelemetry."""

import asyncio
import logging

import uvicorn

from fastapi import FastAPI


app = FastAPI()
log = logging.getLogger("shop.orders")


@app.get("/orders/{number}")
async def order(number: int) -> int:
    log.warning("order %d is asked for", number)
    return number


@app.get("/broken")
async def broken() -> None:
    raise KeyError("stock")


async def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await serving


if __name__ == "__main__":
    asyncio.run(main())
