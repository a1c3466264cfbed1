"""Methods that are replaced, and put back. What they are replaced by is not known here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


Method = Callable[..., Any]
Undo = Callable[[], None]


class Patches:
    """
    What one hook has changed in a library.

    `undo` puts back every method that is still the hook's own: one that somebody else has wrapped
    since stays, or theirs would be lost.
    """

    def __init__(self) -> None:
        self._undos: list[Undo] = []

    def replace(self, owner: Any, name: str, wrapped: Callable[[Method], Method]) -> None:
        """Put `wrapped(method)` in the place of the class's own method; without one, do nothing."""
        original = vars(owner).get(name)
        if original is None:
            return
        own = wrapped(original)
        setattr(owner, name, own)

        def restore() -> None:
            if vars(owner).get(name) is own:
                setattr(owner, name, original)

        self.add(restore)

    def add(self, undo: Undo) -> None:
        """Take something to be undone that is no method."""
        self._undos.append(undo)

    def undo(self) -> None:
        """Put everything back; again, it does nothing."""
        while self._undos:
            self._undos.pop()()
