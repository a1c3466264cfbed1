-- What the pages read instead of rows. One row sums up one minute, hour or day of one host:
-- `tier` is its length in seconds (60, 3600, 86400).
--
-- An error is a status of 500 or above, or an exception; a client error is any other status of 400
-- or above. total_cells, cells, statuses, tallies and quantiles are zstd-compressed columns of
-- little-endian numbers, documented where they are packed (monitord/store/cells.py).
--
-- Not partitioned: a host has about 13,000 rows at the default retention, and nearly all of them
-- are rewritten while their hour or day goes on, so vacuum works here anyhow.

CREATE TABLE request_rollups (
    host_id int2 NOT NULL,
    tier int4 NOT NULL,
    start timestamptz NOT NULL,
    count int8 NOT NULL,
    errors int8 NOT NULL,
    client_errors int8 NOT NULL,
    sum_us int8 NOT NULL,
    max_us int8 NOT NULL,
    total_cells bytea NOT NULL,
    tallies bytea NOT NULL,
    quantiles bytea NOT NULL,
    statuses bytea NOT NULL,
    cells bytea NOT NULL,
    PRIMARY KEY (host_id, tier, start)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- The blobs are compressed already; a second attempt would cost time and save nothing.
ALTER TABLE request_rollups
    ALTER COLUMN total_cells SET STORAGE EXTERNAL,
    ALTER COLUMN tallies SET STORAGE EXTERNAL,
    ALTER COLUMN quantiles SET STORAGE EXTERNAL,
    ALTER COLUMN statuses SET STORAGE EXTERNAL,
    ALTER COLUMN cells SET STORAGE EXTERNAL;

-- What a write adds to its minutes, in the transaction of its rows; a compactor moves it into all
-- three tiers at once. Rows live for seconds to a minute.
CREATE TABLE request_rollup_deltas (
    host_id int2 NOT NULL,
    writer int8 NOT NULL,
    seq int8 NOT NULL,
    minute timestamptz NOT NULL,
    count int8 NOT NULL,
    errors int8 NOT NULL,
    client_errors int8 NOT NULL,
    sum_us int8 NOT NULL,
    max_us int8 NOT NULL,
    total_cells bytea NOT NULL,
    tallies bytea NOT NULL,
    statuses bytea NOT NULL,
    cells bytea NOT NULL,
    PRIMARY KEY (host_id, writer, seq, minute)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

ALTER TABLE request_rollup_deltas
    ALTER COLUMN total_cells SET STORAGE EXTERNAL,
    ALTER COLUMN tallies SET STORAGE EXTERNAL,
    ALTER COLUMN statuses SET STORAGE EXTERNAL,
    ALTER COLUMN cells SET STORAGE EXTERNAL;
