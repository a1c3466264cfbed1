-- name: mark_applied(host_id, writer, seqs)$
-- Add frames to those applied of a run, unless one of them is among them already. The row lock makes
-- a second attempt wait for the outcome of a first that is still on its way.
INSERT INTO writers (host_id, writer, applied)
SELECT
    :host_id::int2,
    :writer::int8,
    range_agg(int8range(seq, seq, '[]'))
FROM unnest(:seqs::int8[]) AS seq
ON CONFLICT (host_id, writer) DO UPDATE
SET applied = writers.applied + excluded.applied,
    at = now()
WHERE NOT writers.applied && excluded.applied
RETURNING true;

-- name: applied_among(host_id, writer, seqs)$
-- Which of some frames of a run are applied.
SELECT array_agg(seq)
FROM writers
JOIN unnest(:seqs::int8[]) AS seq ON writers.applied @> seq
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
