"""What a body that is no OTLP raises."""


class Malformed(Exception):
    """The body as a whole cannot be decoded; the sentence says why."""
