"""How large an event may be, and from when. `docs/ingest.md` states each of these."""

# Events in one body.
BODY_ITEMS = 10_000
# One event as it was sent. Its objects may take twenty times this while it is decoded.
ITEM_BYTES = 1024 * 1024
DEPTH = 32
ATTRIBUTES = 64
# Values inside `fields`, those in nested objects and arrays included.
FIELD_VALUES = 1_000
KEY_CHARACTERS = 200
FIELD_BYTES = 32 * 1024
NAME_CHARACTERS = 1_000
# OpenTelemetry's limit for an instrument's name; it also fits an index.
METRIC_NAME_CHARACTERS = 255
UNIT_CHARACTERS = 63
# Of a distribution: three times what 1 us to 1 h fits in.
BUCKETS = 6_000
# Beyond every index of a double, either side.
BUCKET_KEY = 2**21
ID_CHARACTERS = 128
# A longer one would be cut in the store: it is for a file, not for a page.
MESSAGE_BYTES = 256 * 1024
ERROR_MESSAGE_BYTES = 32 * 1024
STACK_FRAMES = 100

# Event time against the time of receipt, in seconds.
OLDEST_SECONDS = 3_600.0
NEWEST_SECONDS = 600.0

# Refused events described in a reply.
REPORTED = 20
