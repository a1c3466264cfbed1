"""What the tests of the window give it, with time passed in."""

from monitord.intake.window import Window
from monitord.model import Batch, ErrorInfo, Metric, MetricKind, Request


START = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def request(at: float, ms: float = 10.0, status: int = 200, raised: bool = False) -> Request:
    return Request(
        time=at,
        service="shop",
        method="GET",
        route="/orders/{id}",
        status=status,
        duration_ms=ms,
        error=ErrorInfo(type="ValueError") if raised else None,
    )


def metric(
    at: float, value: float, name: str = "m", kind: MetricKind = "gauge", **attributes: str
) -> Metric:
    return Metric(time=at, name=name, value=value, kind=kind, attributes=attributes)


def filled(*events: Request | Metric, clock: Clock | None = None) -> Window:
    window = Window(clock or Clock())
    window.add(
        Batch(
            received_at=START,
            requests=[event for event in events if isinstance(event, Request)],
            metrics=[event for event in events if isinstance(event, Metric)],
        )
    )
    return window
