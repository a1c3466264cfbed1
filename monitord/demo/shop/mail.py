"""The mail server, which lives elsewhere as well, and is away for a while every five minutes."""

from __future__ import annotations

import asyncio
import logging
import random

from monitord import emit


log = logging.getLogger("shop.mail")

OUTAGE_EVERY_SECONDS = 300.0
OUTAGE_SECONDS = 40.0


class MailError(Exception):
    """The mail was not taken; it may be later."""


async def send(address: str, order: int, at: float) -> None:
    """
    Mail the receipt of an order at Unix time *at*. Raises MailError.
    """
    # No hook knows this library: the step is recorded by hand. Whom the mail goes to stays out.
    with emit.span("send mail", "client", {"server.address": "mail.example", "order.id": order}):
        log.debug("mailing", extra={"order_id": order, "domain": address.partition("@")[2]})
        await asyncio.sleep(min(0.2, random.lognormvariate(-3.5, 0.5)))
        if at % OUTAGE_EVERY_SECONDS < OUTAGE_SECONDS:
            raise MailError("mail.example: connection refused")
