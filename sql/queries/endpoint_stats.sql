-- name: endpoint_parts(host_id, tiers, firsts, lasts, since, until)
-- Tallies and cells of some spans, each read from one tier, and of the deltas not merged into any
-- yet. One statement is one snapshot: a merge moves deltas into the tiers before it or after it.
SELECT
    rollup.tallies,
    rollup.cells
FROM unnest(:tiers::int4[], :firsts::timestamptz[], :lasts::timestamptz[])
    AS span (tier, first, last)
JOIN request_rollups AS rollup
    ON rollup.host_id = :host_id::int2
    AND rollup.tier = span.tier
    AND rollup.start >= span.first
    AND rollup.start < span.last
UNION ALL
SELECT
    tallies,
    cells
FROM request_rollup_deltas
WHERE host_id = :host_id::int2
  AND minute >= :since::timestamptz
  AND minute < :until::timestamptz;

-- name: endpoints_by_id(host_id, ids)
-- The names of some endpoints.
SELECT
    endpoint_id AS id,
    service,
    method,
    route
FROM endpoints
WHERE host_id = :host_id::int2
  AND endpoint_id = ANY (:ids::int4[]);
