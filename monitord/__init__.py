"""monitord: a monitoring sidecar. Importing this package imports nothing else, so that ``monitord.emit`` stands alone."""

__version__ = "0.1.0"
