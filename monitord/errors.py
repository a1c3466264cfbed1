"""The errors monitord raises on purpose, each a sentence a user can act on."""


class MonitordError(Exception):
    """Something the user can mend; the message is one line in the user's words."""


class SettingsError(MonitordError):
    """The settings cannot be used; the message names file, line, key, rule and what was found."""


class StoreError(MonitordError):
    """The store answered, but cannot be used as it is (wrong schema, missing right, too old)."""


class StoreUnreachable(MonitordError):
    """The store does not answer now; trying again later is right."""


class EmbeddedError(MonitordError):
    """An embedded server could not be found, prepared or started."""


class AssetError(MonitordError):
    """A data folder of monitord is missing from the installation."""


class SpoolError(MonitordError):
    """The spool cannot be used, or what was given to it is not safe on disk."""


class NotTaken(MonitordError):
    """
    A batch was refused as a whole, or is not safe on disk. Said in words for who sent it.

    `wait_seconds` is when to come again, None where the same will never be taken; `crowded` says
    that it is for a burst alone.
    """

    def __init__(self, sentence: str, wait_seconds: int | None, *, crowded: bool = False) -> None:
        super().__init__(sentence)
        self.wait_seconds = wait_seconds
        self.crowded = crowded
