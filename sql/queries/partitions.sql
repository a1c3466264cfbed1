-- name: lock_partitions(parent)!
-- Let one session at a time make partitions of a table; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('monitord partitions'), to_regclass(:parent::text)::oid::int);

-- name: partition_state(parent, child, mark)^
-- Whether a partition exists, whether it belongs to its table, or is on its way out of it; and
-- whether it is out of it to be dropped, which a comment on it says.
SELECT
    child IS NOT NULL AS made,
    inhrelid IS NOT NULL AS attached,
    coalesce(inhdetachpending, false) AS detaching,
    inhrelid IS NULL AND coalesce(obj_description(child, 'pg_class') = :mark::text, false) AS doomed
FROM to_regclass(:child::text) AS child
LEFT JOIN pg_inherits ON inhrelid = child AND inhparent = to_regclass(:parent::text);

-- name: partitions_of(parent)
-- The partitions of a table by name.
SELECT child.relname::text AS name
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(:parent::text)
ORDER BY 1;

-- name: doomed_partitions(parents, mark)
-- The partitions that are marked to be dropped and out of their tables, or on their way.
SELECT relname::text AS name
FROM pg_class
LEFT JOIN pg_inherits ON inhrelid = oid
WHERE relnamespace = current_schema()::regnamespace
  AND relkind = 'r'
  AND left(relname, -length('_YYYYMMDD')) = ANY (:parents::text[])
  AND obj_description(oid, 'pg_class') = :mark::text
  AND coalesce(inhdetachpending, true)
ORDER BY 1;

-- name: holders_of(parent)
-- The transactions of others that hold a lock of any kind on a table.
SELECT DISTINCT virtualtransaction AS holder
FROM pg_locks
WHERE locktype = 'relation'
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation = to_regclass(:parent::text)
  AND granted
  AND pid <> pg_backend_pid();
