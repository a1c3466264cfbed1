-- name: lock_dictionary(host_id)!
-- Let one session at a time number new names of a host; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('monitord dictionaries' || current_schema()), :host_id::int2);

-- name: all_endpoints(host_id)
-- Every endpoint of a host.
SELECT
    endpoint_id AS id,
    service,
    method,
    route
FROM endpoints
WHERE host_id = :host_id::int2;

-- name: add_endpoints(host_id, keys, services, methods, routes)!
-- Number the endpoints that are new, without a gap, in the order of their keys.
INSERT INTO endpoints (host_id, endpoint_id, key, service, method, route)
SELECT
    :host_id::int2,
    (SELECT coalesce(max(endpoint_id), 0) FROM endpoints WHERE host_id = :host_id::int2)
        + row_number() OVER (ORDER BY added.key),
    added.*
FROM unnest(:keys::uuid[], :services::text[], :methods::text[], :routes::text[])
    AS added (key, service, method, route)
WHERE NOT EXISTS (
    SELECT
    FROM endpoints
    WHERE host_id = :host_id::int2
      AND endpoints.key = added.key
);

-- name: find_endpoints(host_id, keys)
-- The numbers of endpoints by key.
SELECT
    key,
    endpoint_id AS id
FROM endpoints
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: all_loggers(host_id)
-- Every logger of a host.
SELECT
    logger_id AS id,
    service,
    name
FROM loggers
WHERE host_id = :host_id::int2;

-- name: add_loggers(host_id, keys, services, names)!
-- Number the loggers that are new, without a gap, in the order of their keys.
INSERT INTO loggers (host_id, logger_id, key, service, name)
SELECT
    :host_id::int2,
    (SELECT coalesce(max(logger_id), 0) FROM loggers WHERE host_id = :host_id::int2)
        + row_number() OVER (ORDER BY added.key),
    added.*
FROM unnest(:keys::uuid[], :services::text[], :names::text[]) AS added (key, service, name)
WHERE NOT EXISTS (
    SELECT
    FROM loggers
    WHERE host_id = :host_id::int2
      AND loggers.key = added.key
);

-- name: find_loggers(host_id, keys)
-- The numbers of loggers by key.
SELECT
    key,
    logger_id AS id
FROM loggers
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: all_series(host_id)
-- Every series of a host.
SELECT
    series_id AS id,
    service,
    name,
    kind,
    unit,
    attributes
FROM series
WHERE host_id = :host_id::int2;

-- name: add_series(host_id, keys, services, names, kinds, units, attributes)!
-- Number the series that are new, without a gap, in the order of their keys.
INSERT INTO series (host_id, series_id, key, service, name, kind, unit, attributes)
SELECT
    :host_id::int2,
    (SELECT coalesce(max(series_id), 0) FROM series WHERE host_id = :host_id::int2)
        + row_number() OVER (ORDER BY added.key),
    added.key,
    added.service,
    added.name,
    added.kind,
    added.unit,
    added.attributes::jsonb
FROM unnest(
    :keys::uuid[],
    :services::text[],
    :names::text[],
    :kinds::text[],
    :units::text[],
    :attributes::text[]
) AS added (key, service, name, kind, unit, attributes)
WHERE NOT EXISTS (
    SELECT
    FROM series
    WHERE host_id = :host_id::int2
      AND series.key = added.key
);

-- name: find_series(host_id, keys)
-- The numbers of series by key.
SELECT
    key,
    series_id AS id
FROM series
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);
