"""The counters of a run are held against what was sent and what is stored."""

from __future__ import annotations

import pytest

from tests.bench.udp import LOADS, missing


SENT = 1_000
ACCOUNTED = {
    "monitord_ingest_datagrams_total": 990.0,
    "monitord_ingest_udp_kernel_drops": 10.0,
    "monitord_ingest_events_total": 995.0,
    "monitord_spool_appended_events_total": 995.0,
    "monitord_spool_found_events": 0.0,
    "monitord_spool_pending_events": 3.0,
    "monitord_store_events_total": 992.0,
    'monitord_store_events_total{type="request"}': 990.0,
}


def test_counters_that_account_for_everything_miss_nothing() -> None:
    """
    What was sent was read or dropped, what was taken is stored or waits; the daemon's own is too.
    """
    assert missing(ACCOUNTED, SENT, 990, LOADS[0]) == 0


@pytest.mark.parametrize("name", ACCOUNTED)
def test_any_counter_that_is_off_shows(name: str) -> None:
    """
    One event too few, in whichever counter, is a miss.
    """
    off = ACCOUNTED | {name: ACCOUNTED[name] - 1}

    assert missing(off, SENT, 990, LOADS[0]) > 0
