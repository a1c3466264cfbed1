-- name: lock_hosts()!
-- Let one daemon at a time give out a host number; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(1836019305, hashtext(current_schema()));

-- name: find_host(instance)^
-- An instance that has been here before.
SELECT
    host_id,
    first_seen_at
FROM hosts
WHERE instance = :instance;

-- name: add_host(instance)^
-- Number a new instance. Numbers start at 1 and leave no gap.
INSERT INTO hosts (host_id, instance)
SELECT
    coalesce(max(host_id), 0) + 1,
    :instance::text
FROM hosts
RETURNING
    host_id,
    first_seen_at;
