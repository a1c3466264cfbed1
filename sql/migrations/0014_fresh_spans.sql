-- Spans come in here, all of them, by the hour of `at`. When nothing of an hour can come any more, what
-- is worth keeping of it moves to `spans` and the rest is let go.
CREATE TABLE fresh_spans (
    LIKE spans
) PARTITION BY RANGE (at);

CREATE INDEX fresh_spans_at ON fresh_spans
    USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

CREATE INDEX fresh_spans_trace_id ON fresh_spans
    USING brin (
        trace_id uuid_bloom_ops (n_distinct_per_range = 1000, false_positive_rate = 0.0045)
    )
    WITH (pages_per_range = 16, autosummarize = on);

-- Parent of the hours that are being thinned. An hour is taken out of `fresh_spans` first, so that
-- nothing can be added to it any more. By inheritance: as a partition its rows would all be checked
-- again.
CREATE TABLE fresh_spans_closed (
    LIKE spans
);

-- How far that has come: of a closed hour, the spans before `until` are in `spans` or let go, and the
-- others are here still. Before that its traces are flagged, and of them those before `flagged_until`
-- are. `closing` tells this closing of the hour from the next, of what came late. An hour belongs to
-- all hosts, so here there is no host_id.
CREATE TABLE span_thinning_marks (
    hour timestamptz NOT NULL PRIMARY KEY,
    closing int8 NOT NULL GENERATED ALWAYS AS IDENTITY,
    until timestamptz NOT NULL,
    flagged_until timestamptz
);

-- The traces that are kept for what they are, while their hour is being thinned. A trace may have
-- spans of several hosts.
CREATE TABLE flagged_traces (
    hour timestamptz NOT NULL,
    trace_id uuid NOT NULL,
    PRIMARY KEY (hour, trace_id)
);

-- What became of the spans of an hour.
CREATE TABLE span_thinnings (
    host_id int2 NOT NULL,
    hour timestamptz NOT NULL,
    kept int8 NOT NULL,
    let_go int8 NOT NULL,
    PRIMARY KEY (host_id, hour)
);

-- Every span there is, each once at every moment: what readers ask.
CREATE VIEW span_rows AS
SELECT
    at,
    duration_us,
    span_id,
    parent_id,
    error_id,
    trace_id,
    span_name_id,
    status,
    host_id,
    attributes,
    error
FROM spans
UNION ALL
SELECT
    at,
    duration_us,
    span_id,
    parent_id,
    error_id,
    trace_id,
    span_name_id,
    status,
    host_id,
    attributes,
    error
FROM fresh_spans
UNION ALL
SELECT
    closed.at,
    closed.duration_us,
    closed.span_id,
    closed.parent_id,
    closed.error_id,
    closed.trace_id,
    closed.span_name_id,
    closed.status,
    closed.host_id,
    closed.attributes,
    closed.error
FROM fresh_spans_closed AS closed
JOIN span_thinning_marks AS mark
    ON mark.hour = date_bin('1 hour', closed.at, '2000-01-01 00:00+00')
    AND closed.at >= mark.until;
