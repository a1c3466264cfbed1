-- The archive: requests of days that are long over, packed to a third of their size.
--
-- One row is a chunk: some requests of one host, neighbours in time, an hour of them at the most. `at`
-- and `last_at` are its first and its last request. Requests that came late make further chunks of
-- the same time. The three blobs are documented where they are made
-- (monitord/store/archive/chunks.py, trace_filter.py).

CREATE TABLE request_archive (
    at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    chunk int4 NOT NULL,
    count int4 NOT NULL,
    host_id int2 NOT NULL,
    numbers bytea NOT NULL,
    traces bytea,
    trace_filter bytea,
    PRIMARY KEY (host_id, at, chunk)
) PARTITION BY RANGE (at);

-- Compressed already; and of what is stored so, a few bytes can be read without the rest.
ALTER TABLE request_archive
    ALTER COLUMN numbers SET STORAGE EXTERNAL,
    ALTER COLUMN traces SET STORAGE EXTERNAL,
    ALTER COLUMN trace_filter SET STORAGE EXTERNAL;

-- Parent of the days that are being packed. A day is taken out of `requests` first, so that nothing
-- can be added to it any more. By inheritance: as a partition its rows would all be checked again.
CREATE TABLE requests_closed (
    LIKE requests
);

-- How far that has come: of a closed day, the requests before `until` are in the archive, and the
-- others are rows still. `closing` tells this closing of the day from the next, of what came late.
-- A day belongs to all hosts, so here, for once, there is no host_id.
CREATE TABLE request_archive_marks (
    day date NOT NULL PRIMARY KEY,
    closing int8 NOT NULL GENERATED ALWAYS AS IDENTITY,
    until timestamptz NOT NULL
);

-- Every request that is a row and not packed: what to ask where `requests` was asked before.
CREATE VIEW request_rows AS
SELECT
    at,
    duration_us,
    trace_id,
    error_id,
    endpoint_id,
    status,
    host_id
FROM requests
UNION ALL
SELECT
    closed.at,
    closed.duration_us,
    closed.trace_id,
    closed.error_id,
    closed.endpoint_id,
    closed.status,
    closed.host_id
FROM requests_closed AS closed
JOIN request_archive_marks AS mark
    ON mark.day = (closed.at AT TIME ZONE 'UTC')::date
    AND closed.at >= mark.until;
