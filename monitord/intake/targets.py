"""What is known of every target: up or down, since when, and why."""

from __future__ import annotations

from monitord.model import Reading, TargetStatus


class Targets:
    """The last reading of each target, and when it last changed between up and down."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], TargetStatus] = {}

    def expect(self, target: str, kind: str) -> None:
        """Make a target known that has not been read yet."""
        self._known.setdefault(
            (kind, target),
            TargetStatus(target=target, kind=kind, up=None, since=None, last_reading_at=None),
        )

    def note(self, reading: Reading) -> None:
        """Take a reading; `since` stays while the target stays up or stays down."""
        before = self._known.get((reading.kind, reading.target))
        same = before is not None and before.up == reading.up
        self._known[reading.kind, reading.target] = TargetStatus(
            target=reading.target,
            kind=reading.kind,
            up=reading.up,
            since=before.since if before is not None and same else reading.at,
            last_reading_at=reading.at,
            reason=reading.reason,
            detail=reading.detail,
            remedy=reading.remedy,
            problems=reading.problems,
        )

    def all(self) -> list[TargetStatus]:
        """Return every target in the order they became known."""
        return list(self._known.values())
