"""The overhead of the middleware: who is asked, and how the turns are judged."""

from __future__ import annotations

import socket

from contextlib import closing

import pytest

from tests.bench.overhead import ASKED, END, Pace, asked, cores, rows, server


def test_neighbours_are_compared() -> None:
    """
    What slows both turns of a pair is no overhead; what slows the second one is.
    """
    turns = [(Pace(n, 100), Pace(n / 1.02, 102)) for n in (3_000, 1_500, 6_000)]
    slow = [(bare, Pace(bare.per_second / 1.04, 104)) for bare, _ in turns]

    [slower, cpu] = rows(turns)
    [too_slow, _] = rows(slow)

    assert (slower.value, slower.good) == (pytest.approx(2), True)
    assert cpu.value == pytest.approx(2)
    assert (too_slow.value, too_slow.good) == (pytest.approx(4), False)


@pytest.mark.parametrize("watched", [False, True])
def test_a_server_is_watched_or_not(watched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Both give the same answer; that with the middleware has a trace id and sends its requests.
    """
    monkeypatch.setattr("tests.bench.overhead.MILLISECONDS", 100)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(30 if watched else 0.5)
        address = f"127.0.0.1:{sink.getsockname()[1]}"
        with server(cores()[0], address if watched else "") as one:
            pace = asked(one)
            answer = answered_by(one.port)
            if watched:
                assert b'"route":"/orders/{number}"' in sink.recv(65_536)
            else:
                with pytest.raises(TimeoutError):
                    sink.recv(65_536)

    assert pace.per_second > 0
    assert answer.endswith(END)
    assert (b"\r\nx-trace-id: " in answer) is watched


def answered_by(port: int) -> bytes:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(ASKED)
        while not answer.endswith(END):
            answer += connection.recv(4_096)
    return answer
