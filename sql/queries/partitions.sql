-- name: lock_partitions(parent)!
-- Let one session at a time make partitions of a table; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('monitord partitions'), to_regclass(:parent::text)::oid::int);

-- name: partition_state(parent, child)^
-- Whether a partition exists, and whether it belongs to its table.
SELECT
    to_regclass(:child::text) IS NOT NULL AS made,
    EXISTS (
        SELECT
        FROM pg_inherits
        WHERE inhrelid = to_regclass(:child::text)
          AND inhparent = to_regclass(:parent::text)
    ) AS attached;

-- name: partitions_of(parent)
-- The partitions of a table by name.
SELECT child.relname::text AS name
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = to_regclass(:parent::text)
ORDER BY 1;
