-- name: server_clock()$
-- What time the server thinks it is.
SELECT clock_timestamp();

-- name: drop_old_rollups(host_id, tier, before, most)$
-- Forget the oldest rollups of a tier, so many at a time; says how many.
WITH old AS (
    SELECT start
    FROM request_rollups
    WHERE host_id = :host_id::int2
      AND tier = :tier::int4
      AND start < :before::timestamptz
    ORDER BY start
    LIMIT :most::int8
), dropped AS (
    DELETE FROM request_rollups AS rollup
    USING old
    WHERE rollup.host_id = :host_id::int2
      AND rollup.tier = :tier::int4
      AND rollup.start = old.start
    RETURNING 1
)
SELECT count(*) FROM dropped;

-- name: drop_old_writers(host_id, before)!
-- Forget the marks of runs whose frames nobody can send again.
DELETE FROM writers
WHERE host_id = :host_id::int2
  AND at < :before::timestamptz;
