"""The names under which an application and a request of ours carry what the handlers need."""

from __future__ import annotations

from aiohttp import web
from jinja2 import Environment

from monitord.http.auth import Gate, Identity
from monitord.http.exposition import Exposition
from monitord.http.lines import Encoder
from monitord.http.memo import Memo
from monitord.http.onsets import Onsets
from monitord.http.pace import Pace
from monitord.http.peer import Peer
from monitord.http.ports import Ports
from monitord.http.throttle import Seats


PORTS = web.AppKey("ports", Ports)
GATE = web.AppKey("gate", Gate)
SEATS = web.AppKey("seats", Seats)
PACE = web.AppKey("pace", Pace)
MEMO = web.AppKey("memo", Memo)
ONSETS = web.AppKey("onsets", Onsets)
ENCODER = web.AppKey("encoder", Encoder)
TEMPLATES = web.AppKey("templates", Environment)
EXPOSITION = web.AppKey("exposition", Exposition)
OPENAPI = web.AppKey("openapi", bytes)

PEER = web.RequestKey("peer", Peer)
IDENTITY = web.RequestKey("identity", Identity)
