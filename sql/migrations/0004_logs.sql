-- One row is one log record. `level` is the OpenTelemetry severity number; the logger knows its
-- service. (writer, seq, index) is the identity a line has on the live stream, in page cursors and
-- in permalinks, so the key leads with it: it finds a line by its link and grows at its right edge
-- only. Reading by time, and searching, goes through the BRIN index in slices: an index of words
-- would miss most of what is looked for, and costs many times the row it points to.

CREATE TABLE logs (
    at timestamptz NOT NULL,
    writer int8 NOT NULL,
    seq int8 NOT NULL,
    error_id int8,
    trace_id uuid,
    logger_id int4 NOT NULL,
    index int4 NOT NULL,
    level int2 NOT NULL,
    host_id int2 NOT NULL,
    message text NOT NULL,
    fields jsonb,
    error jsonb,
    PRIMARY KEY (host_id, writer, seq, index, at)
) PARTITION BY RANGE (at);

CREATE INDEX logs_at ON logs
    USING brin (at) WITH (pages_per_range = 16, autosummarize = on);
