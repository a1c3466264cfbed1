-- name: known_error_groups(host_id, ids)
-- Those of some groups that are known.
SELECT error_id
FROM error_groups
WHERE host_id = :host_id::int2
  AND error_id = ANY (:ids::int8[]);

-- name: count_error_groups(host_id)$
-- How many groups a host has.
SELECT count(*)
FROM error_groups
WHERE host_id = :host_id::int2;

-- name: drop_silent_error_groups(host_id, but, silent_seconds, most)$
-- Delete so many groups that were not seen for so long, but for some, the longest silent first; says
-- how many. One that another session is adding to is not silent any more.
WITH silent AS (
    SELECT error_id
    FROM error_groups
    WHERE host_id = :host_id::int2
      AND last_seen_at < now() - :silent_seconds::float8 * interval '1 second'
      AND error_id <> ALL (:but::int8[])
      AND error_id <> 0
    ORDER BY last_seen_at
    LIMIT :most::int8
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM error_groups
    USING silent
    WHERE error_groups.host_id = :host_id::int2
      AND error_groups.error_id = silent.error_id
    RETURNING error_groups.error_id
), places AS (
    DELETE FROM error_group_endpoints
    USING dropped
    WHERE error_group_endpoints.host_id = :host_id::int2
      AND error_group_endpoints.error_id = dropped.error_id
)
SELECT count(*) FROM dropped;

-- name: add_error_groups(host_id, quiet_seconds, error_ids, firsts_us, lasts_us, requests, logs, spans, services, types, messages, errors, traces)!
-- Add what was seen to its groups. The newest event gives message and sample.
INSERT INTO error_groups AS known (
    host_id, error_id, first_seen_at, last_seen_at, requests, logs, spans,
    service, type, message, error, trace_id
)
SELECT
    :host_id::int2,
    added.error_id,
    timestamptz '2000-01-01 00:00+00' + added.first_us * interval '1 microsecond',
    timestamptz '2000-01-01 00:00+00' + added.last_us * interval '1 microsecond',
    added.requests,
    added.logs,
    added.spans,
    added.service,
    added.type,
    added.message,
    added.error::jsonb,
    encode(added.trace, 'hex')::uuid
FROM unnest(
    :error_ids::int8[],
    :firsts_us::int8[],
    :lasts_us::int8[],
    :requests::int8[],
    :logs::int8[],
    :spans::int8[],
    :services::text[],
    :types::text[],
    :messages::text[],
    :errors::text[],
    :traces::bytea[]
) AS added (
    error_id, first_us, last_us, requests, logs, spans, service, type, message, error, trace
)
ON CONFLICT (host_id, error_id) DO UPDATE
SET first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at),
    regressed_at = CASE
        WHEN excluded.first_seen_at
            > known.last_seen_at + :quiet_seconds::float8 * interval '1 second'
        THEN excluded.first_seen_at
        ELSE known.regressed_at
    END,
    requests = known.requests + excluded.requests,
    logs = known.logs + excluded.logs,
    spans = known.spans + excluded.spans,
    (service, type, message, error, trace_id) = (
        SELECT newest.service, newest.type, newest.message, newest.error, newest.trace_id
        FROM (
            VALUES
                (known.service, known.type, known.message, known.error, known.trace_id, false),
                (
                    excluded.service, excluded.type, excluded.message, excluded.error,
                    excluded.trace_id, true
                )
        ) AS newest (service, type, message, error, trace_id, is_added)
        WHERE newest.is_added = (excluded.last_seen_at >= known.last_seen_at)
    );

-- name: add_error_group_endpoints(host_id, error_ids, endpoint_ids, firsts_us, lasts_us, requests)!
-- Add failed requests to their groups by endpoint.
INSERT INTO error_group_endpoints AS known (
    host_id, error_id, endpoint_id, first_seen_at, last_seen_at, requests
)
SELECT
    :host_id::int2,
    added.error_id,
    added.endpoint_id,
    timestamptz '2000-01-01 00:00+00' + added.first_us * interval '1 microsecond',
    timestamptz '2000-01-01 00:00+00' + added.last_us * interval '1 microsecond',
    added.requests
FROM unnest(
    :error_ids::int8[],
    :endpoint_ids::int4[],
    :firsts_us::int8[],
    :lasts_us::int8[],
    :requests::int8[]
) AS added (error_id, endpoint_id, first_us, last_us, requests)
ON CONFLICT (host_id, error_id, endpoint_id) DO UPDATE
SET first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
    last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at),
    requests = known.requests + excluded.requests;

-- name: error_groups_seen(host_id, since, until, service, message_characters, most)
-- The groups whose first to last event touch a stretch of time, the newest first, and how many there
-- are: of any service ('') or of one in which the newest was, or a request failed. Of a message it is
-- the beginning.
SELECT
    known.error_id,
    known.type,
    left(known.message, :message_characters::int4) AS message,
    known.service,
    known.first_seen_at,
    known.last_seen_at,
    known.regressed_at,
    known.requests,
    known.logs,
    known.spans,
    known.trace_id,
    count(*) OVER () AS total
FROM error_groups AS known
WHERE known.host_id = :host_id::int2
  AND known.last_seen_at >= :since::timestamptz
  AND known.first_seen_at < :until::timestamptz
  AND (
      :service::text IN ('', known.service)
      OR EXISTS (
          SELECT
          FROM error_group_endpoints AS place
          JOIN endpoints
              ON endpoints.host_id = place.host_id
              AND endpoints.endpoint_id = place.endpoint_id
          WHERE place.host_id = known.host_id
            AND place.error_id = known.error_id
            AND endpoints.service = :service::text
      )
  )
ORDER BY known.last_seen_at DESC, known.error_id
LIMIT :most::int8;

-- name: error_groups_by_id(host_id, ids, message_characters)
-- Some groups. Of a message it is the beginning.
SELECT
    error_id,
    type,
    left(message, :message_characters::int4) AS message,
    service,
    first_seen_at,
    last_seen_at,
    regressed_at,
    requests,
    logs,
    spans,
    trace_id
FROM error_groups
WHERE host_id = :host_id::int2
  AND error_id = ANY (:ids::int8[]);

-- name: error_sample(host_id, error_id)$
-- The newest exception of a group.
SELECT error
FROM error_groups
WHERE host_id = :host_id::int2
  AND error_id = :error_id::int8;

-- name: error_group_places(host_id, ids, most)
-- Of each of some groups the endpoints with the most failed requests, those first.
SELECT
    wanted.error_id,
    place.requests,
    place.first_seen_at,
    place.last_seen_at,
    endpoints.service,
    endpoints.method,
    endpoints.route
FROM unnest(:ids::int8[]) AS wanted (error_id)
CROSS JOIN LATERAL (
    SELECT *
    FROM error_group_endpoints AS known
    WHERE known.host_id = :host_id::int2
      AND known.error_id = wanted.error_id
    ORDER BY known.requests DESC, known.endpoint_id
    LIMIT :most::int8
) AS place
JOIN endpoints
    ON endpoints.host_id = place.host_id
    AND endpoints.endpoint_id = place.endpoint_id
ORDER BY wanted.error_id, place.requests DESC, place.endpoint_id;

-- name: error_group_requests(host_id, error_id, since, until, most)
-- The newest requests of a group within a stretch of time.
SELECT
    requests.at,
    requests.trace_id,
    requests.status,
    requests.duration_us,
    endpoints.service,
    endpoints.method,
    endpoints.route
FROM request_rows AS requests
JOIN endpoints
    ON endpoints.host_id = requests.host_id
    AND endpoints.endpoint_id = requests.endpoint_id
WHERE requests.host_id = :host_id::int2
  AND requests.error_id = :error_id::int8
  AND requests.at >= :since::timestamptz
  AND requests.at < :until::timestamptz
ORDER BY requests.at DESC
LIMIT :most::int8;
