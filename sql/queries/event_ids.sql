-- name: lock_event_ids(host_id)!
-- Let one transaction at a time decide which ids are new. It waits for one whose outcome is not known
-- yet; a unique index alone would not, for an id that the other one has put into another day.
SELECT pg_advisory_xact_lock(hashtext('monitord event ids' || current_schema()), :host_id::int2);

-- name: known_event_ids(host_id, keys, from_us, to_us)
-- When some ids were seen, within a span of time; the ends are microseconds since 2000.
SELECT
    key,
    (extract(epoch FROM at - timestamptz '2000-01-01 00:00+00') * 1000000)::int8 AS at_us
FROM event_ids
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[])
  AND at >= timestamptz '2000-01-01 00:00+00' + :from_us::int8 * interval '1 microsecond'
  AND at <= timestamptz '2000-01-01 00:00+00' + :to_us::int8 * interval '1 microsecond';

-- name: add_event_ids(host_id, keys, ats_us)!
-- Remember ids, in the order of the index.
INSERT INTO event_ids (at, key, host_id)
SELECT
    timestamptz '2000-01-01 00:00+00' + added.at_us * interval '1 microsecond',
    added.key,
    :host_id::int2
FROM unnest(:keys::uuid[], :ats_us::int8[]) AS added (key, at_us)
ORDER BY added.key
ON CONFLICT DO NOTHING;
