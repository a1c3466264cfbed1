-- name: lock_partitions(parent)!
-- Let one session at a time make partitions of a table; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('monitord partitions'), to_regclass(:parent::text)::oid::int);

-- name: lock_dropping(parent)!
-- Let one session at a time take partitions out of a table; the lock is the session's.
SELECT pg_advisory_lock(hashtext('monitord dropping'), to_regclass(:parent::text)::oid::int);

-- name: unlock_dropping(parent)!
-- Let the next session take partitions out of a table.
SELECT pg_advisory_unlock(hashtext('monitord dropping'), to_regclass(:parent::text)::oid::int);

-- name: wait_for_dropping(parent)!
-- Let no session take partitions out of a table until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('monitord dropping'), to_regclass(:parent::text)::oid::int);

-- name: partition_state(parent, child, mark)^
-- Whether a partition exists, whether it belongs to its table, or is on its way out of it; and
-- whether it is to be dropped once it is out of it, which a comment on it says.
SELECT
    child IS NOT NULL AS made,
    inhrelid IS NOT NULL AS attached,
    coalesce(inhdetachpending, false) AS detaching,
    coalesce(obj_description(child, 'pg_class') = :mark::text, false) AS marked
FROM to_regclass(:child::text) AS child
LEFT JOIN pg_inherits ON inhrelid = child AND inhparent = to_regclass(:parent::text);

-- name: partitions_of(parent)
-- The partitions of a table by name.
SELECT child.relname::text AS name
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(:parent::text)
ORDER BY 1;

-- name: attached_partitions(parent)
-- The partitions of a table that are not on their way out of it, by name.
SELECT child.relname::text AS name
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(:parent::text)
  AND NOT inhdetachpending
ORDER BY 1;

-- name: marked_partitions(parents, mark)
-- The partitions that are marked to be dropped; and whether they are out of their tables, or on
-- their way.
SELECT
    relname::text AS name,
    coalesce(inhdetachpending, true) AS leaving
FROM pg_class
LEFT JOIN pg_inherits ON inhrelid = oid
WHERE relnamespace = current_schema()::regnamespace
  AND relkind = 'r'
  AND regexp_replace(relname, '_[0-9]+$', '') = ANY (:parents::text[])
  AND obj_description(oid, 'pg_class') = :mark::text
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
