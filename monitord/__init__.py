"""monitord, a monitoring sidecar. Imports nothing, so that ``monitord.emit`` stands alone."""

__version__ = "0.1.0"
