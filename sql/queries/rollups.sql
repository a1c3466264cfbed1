-- name: try_compaction(host_id)$
-- Whether this session may merge deltas; one at a time may, until its transaction ends.
SELECT pg_try_advisory_xact_lock(
    hashtext('monitord compaction' || current_schema()),
    :host_id::int2
);

-- name: take_deltas(host_id, closed_before, many, minutes)
-- Take away the deltas of the oldest minutes that are over, or have gathered many.
WITH due AS (
    SELECT minute
    FROM request_rollup_deltas
    WHERE host_id = :host_id::int2
    GROUP BY minute
    HAVING minute < :closed_before::timestamptz OR count(*) >= :many::int8
    ORDER BY minute
    LIMIT :minutes::int8
)
DELETE FROM request_rollup_deltas AS delta
USING due
WHERE delta.host_id = :host_id::int2
  AND delta.minute = due.minute
RETURNING
    delta.minute,
    delta.tallies,
    delta.statuses,
    delta.cells;

-- name: lock_rollups(host_id, tiers, starts)
-- Some rollups, held until the transaction ends.
SELECT
    tier,
    start,
    tallies,
    statuses,
    cells
FROM request_rollups
WHERE host_id = :host_id::int2
  AND (tier, start) IN (
      SELECT wanted.tier, wanted.start
      FROM unnest(:tiers::int4[], :starts::timestamptz[]) AS wanted (tier, start)
  )
FOR UPDATE;

-- name: put_rollup(host_id, tier, start, count, errors, client_errors, sum_us, max_us, total_cells, tallies, quantiles, statuses, cells)!
-- Keep a rollup as given, in place of what was there.
INSERT INTO request_rollups (
    host_id, tier, start, count, errors, client_errors, sum_us, max_us,
    total_cells, tallies, quantiles, statuses, cells
)
VALUES (
    :host_id::int2,
    :tier::int4,
    :start::timestamptz,
    :count::int8,
    :errors::int8,
    :client_errors::int8,
    :sum_us::int8,
    :max_us::int8,
    :total_cells::bytea,
    :tallies::bytea,
    :quantiles::bytea,
    :statuses::bytea,
    :cells::bytea
)
ON CONFLICT (host_id, tier, start) DO UPDATE
SET count = excluded.count,
    errors = excluded.errors,
    client_errors = excluded.client_errors,
    sum_us = excluded.sum_us,
    max_us = excluded.max_us,
    total_cells = excluded.total_cells,
    tallies = excluded.tallies,
    quantiles = excluded.quantiles,
    statuses = excluded.statuses,
    cells = excluded.cells;

-- name: request_totals(host_id, tiers, firsts, lasts, since, until)
-- The totals of some spans, each read from one tier, and of the deltas not merged into any yet.
-- One statement is one snapshot: a merge moves deltas into the tiers before it or after it.
SELECT
    rollup.start,
    rollup.count,
    rollup.errors,
    rollup.client_errors,
    rollup.sum_us,
    rollup.max_us,
    rollup.total_cells
FROM unnest(:tiers::int4[], :firsts::timestamptz[], :lasts::timestamptz[])
    AS span (tier, first, last)
JOIN request_rollups AS rollup
    ON rollup.host_id = :host_id::int2
    AND rollup.tier = span.tier
    AND rollup.start >= span.first
    AND rollup.start < span.last
UNION ALL
SELECT
    minute,
    count,
    errors,
    client_errors,
    sum_us,
    max_us,
    total_cells
FROM request_rollup_deltas
WHERE host_id = :host_id::int2
  AND minute >= :since::timestamptz
  AND minute < :until::timestamptz;
