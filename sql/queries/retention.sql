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

-- name: drop_old_annotations(host_id, before)!
-- Delete the annotations before a moment.
DELETE FROM annotations
WHERE host_id = :host_id::int2
  AND at < :before::timestamptz;

-- name: drop_old_thinnings(host_id, before)!
-- Forget what became of the spans of the hours before a moment.
DELETE FROM span_thinnings
WHERE host_id = :host_id::int2
  AND hour < :before::timestamptz;

-- name: drop_old_error_groups(host_id, before)!
-- Delete the kinds of exceptions that were seen last before a moment.
WITH old AS (
    DELETE FROM error_groups
    WHERE host_id = :host_id::int2
      AND last_seen_at < :before::timestamptz
    RETURNING error_id
)
DELETE FROM error_group_endpoints
USING old
WHERE error_group_endpoints.host_id = :host_id::int2
  AND error_group_endpoints.error_id = old.error_id;

-- name: drop_old_error_places(host_id, before)!
-- Forget where exceptions happened last before a moment.
DELETE FROM error_group_endpoints
WHERE host_id = :host_id::int2
  AND last_seen_at < :before::timestamptz;

-- name: drop_old_writers(host_id, before)!
-- Forget what was applied of runs none of whose applied frames can come again.
DELETE FROM writers
WHERE host_id = :host_id::int2
  AND at < :before::timestamptz;

-- name: own_tables(parents, others, mark)
-- The size of every table of monitord's own with its indexes: the partitions, those of them that are
-- being dropped, and the others by name. The database may hold more than that.
SELECT
    relname::text AS name,
    coalesce(pg_total_relation_size(oid), 0) AS used_bytes
FROM pg_class
LEFT JOIN pg_inherits ON inhrelid = oid
WHERE relnamespace = current_schema()::regnamespace
  AND relkind = 'r'
  AND (
    inhparent = ANY (SELECT to_regclass(parent) FROM unnest(:parents::text[]) AS parent)
    OR obj_description(oid, 'pg_class') = :mark::text
    OR relname = ANY (:others::text[])
  );
