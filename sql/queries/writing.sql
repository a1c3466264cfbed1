-- name: advance_writer(host_id, writer, first_seq, last_seq)$
-- Move the mark of a run past some frames, unless one of them lies behind it already. The row lock
-- makes a second attempt wait for the outcome of a first that is still on its way.
INSERT INTO writers (host_id, writer, last_seq)
VALUES (:host_id::int2, :writer::int8, :last_seq::int8)
ON CONFLICT (host_id, writer) DO UPDATE
SET last_seq = excluded.last_seq,
    at = now()
WHERE writers.last_seq < :first_seq::int8
RETURNING last_seq;

-- name: last_seq(host_id, writer)$
-- The last frame of a run that was applied.
SELECT last_seq
FROM writers
WHERE host_id = :host_id::int2
  AND writer = :writer::int8;

-- name: add_deltas(host_id, writer, seq, minutes_us, count, errors, client_errors, sum_us, max_us, total_cells, tallies, statuses, cells)!
-- What a write adds to its minutes.
INSERT INTO request_rollup_deltas (
    host_id, writer, seq, minute, count, errors, client_errors, sum_us, max_us,
    total_cells, tallies, statuses, cells
)
SELECT
    :host_id::int2,
    :writer::int8,
    :seq::int8,
    timestamptz '2000-01-01 00:00+00' + added.minute_us * interval '1 microsecond',
    added.count,
    added.errors,
    added.client_errors,
    added.sum_us,
    added.max_us,
    added.total_cells,
    added.tallies,
    added.statuses,
    added.cells
FROM unnest(
    :minutes_us::int8[],
    :count::int8[],
    :errors::int8[],
    :client_errors::int8[],
    :sum_us::int8[],
    :max_us::int8[],
    :total_cells::bytea[],
    :tallies::bytea[],
    :statuses::bytea[],
    :cells::bytea[]
) AS added (
    minute_us, count, errors, client_errors, sum_us, max_us, total_cells, tallies, statuses, cells
);
