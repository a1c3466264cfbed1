-- What steps are called, and which side of a call they are: `kind` is OpenTelemetry's name for it.
CREATE TABLE span_names (
    host_id int2 NOT NULL,
    span_name_id int4 NOT NULL,
    key uuid NOT NULL,
    service text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, span_name_id),
    UNIQUE (host_id, key)
);

-- One row is one step of a trace. `at` is its end, as a request's is. `status` is OpenTelemetry's:
-- 0 unset, 1 ok, 2 error. No B-tree, as for requests: a trace is found by the time of its request,
-- or through the BRIN bloom filter.
CREATE TABLE spans (
    at timestamptz NOT NULL,
    duration_us int8 NOT NULL,
    span_id int8 NOT NULL,
    parent_id int8,
    error_id int8,
    trace_id uuid NOT NULL,
    span_name_id int4 NOT NULL,
    status int2 NOT NULL,
    host_id int2 NOT NULL,
    attributes jsonb,
    error jsonb
) PARTITION BY RANGE (at);

CREATE INDEX spans_at ON spans
    USING brin (at) WITH (pages_per_range = 16, autosummarize = on);

-- 1,000 is about the number of rows in 16 pages.
CREATE INDEX spans_trace_id ON spans
    USING brin (
        trace_id uuid_bloom_ops (n_distinct_per_range = 1000, false_positive_rate = 0.0045)
    )
    WITH (pages_per_range = 16, autosummarize = on);
