-- name: lock_dictionary(host_id)!
-- Let one session at a time number new names of a host; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtext('monitord dictionaries' || current_schema()), :host_id::int2);

-- name: take_numbers(host_id, name_table, count)$
-- Take so many numbers that no name of a table had; says which is the last of them.
INSERT INTO name_numbers AS taken (host_id, name_table, last)
VALUES (:host_id::int2, :name_table, :count::int4)
ON CONFLICT (host_id, name_table) DO UPDATE
SET last = taken.last + excluded.last
RETURNING last;

-- name: all_endpoints(host_id, since)
-- Every endpoint of a host that was used on a day or later.
SELECT
    endpoint_id AS id,
    used_on,
    service,
    method,
    route
FROM endpoints
WHERE host_id = :host_id::int2
  AND used_on >= :since::date;

-- name: add_endpoints(host_id, ids, keys, services, methods, routes)!
-- Add endpoints that are new, with their numbers.
INSERT INTO endpoints (host_id, endpoint_id, key, service, method, route)
SELECT
    :host_id::int2,
    added.*
FROM unnest(
    :ids::int4[],
    :keys::uuid[],
    :services::text[],
    :methods::text[],
    :routes::text[]
) AS added (id, key, service, method, route);

-- name: find_endpoints(host_id, keys)
-- The numbers of endpoints by key.
SELECT
    key,
    endpoint_id AS id
FROM endpoints
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: use_endpoints(host_id, ids, day)
-- Note the day on which endpoints were used; gives the numbers that are there.
WITH used AS (
    UPDATE endpoints
    SET used_on = :day::date
    WHERE host_id = :host_id::int2
      AND endpoint_id = ANY (:ids::int4[])
      AND used_on < :day::date
)
SELECT endpoint_id AS id
FROM endpoints
WHERE host_id = :host_id::int2
  AND endpoint_id = ANY (:ids::int4[]);

-- name: drop_idle_endpoints(host_id, before)!
-- Forget endpoints that were used last before a day.
DELETE FROM endpoints
WHERE host_id = :host_id::int2
  AND used_on < :before::date;

-- name: all_loggers(host_id, since)
-- Every logger of a host that was used on a day or later.
SELECT
    logger_id AS id,
    used_on,
    service,
    name
FROM loggers
WHERE host_id = :host_id::int2
  AND used_on >= :since::date;

-- name: add_loggers(host_id, ids, keys, services, names)!
-- Add loggers that are new, with their numbers.
INSERT INTO loggers (host_id, logger_id, key, service, name)
SELECT
    :host_id::int2,
    added.*
FROM unnest(
    :ids::int4[],
    :keys::uuid[],
    :services::text[],
    :names::text[]
) AS added (id, key, service, name);

-- name: find_loggers(host_id, keys)
-- The numbers of loggers by key.
SELECT
    key,
    logger_id AS id
FROM loggers
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: use_loggers(host_id, ids, day)
-- Note the day on which loggers were used; gives the numbers that are there.
WITH used AS (
    UPDATE loggers
    SET used_on = :day::date
    WHERE host_id = :host_id::int2
      AND logger_id = ANY (:ids::int4[])
      AND used_on < :day::date
)
SELECT logger_id AS id
FROM loggers
WHERE host_id = :host_id::int2
  AND logger_id = ANY (:ids::int4[]);

-- name: drop_idle_loggers(host_id, before)!
-- Forget loggers that were used last before a day.
DELETE FROM loggers
WHERE host_id = :host_id::int2
  AND used_on < :before::date;

-- name: all_series(host_id, since)
-- Every series of a host that was used on a day or later.
SELECT
    series_id AS id,
    used_on,
    service,
    name,
    kind,
    unit,
    attributes
FROM series
WHERE host_id = :host_id::int2
  AND used_on >= :since::date;

-- name: add_series(host_id, ids, keys, services, names, kinds, units, attributes)!
-- Add series that are new, with their numbers.
INSERT INTO series (host_id, series_id, key, service, name, kind, unit, attributes)
SELECT
    :host_id::int2,
    added.id,
    added.key,
    added.service,
    added.name,
    added.kind,
    added.unit,
    added.attributes::jsonb
FROM unnest(
    :ids::int4[],
    :keys::uuid[],
    :services::text[],
    :names::text[],
    :kinds::text[],
    :units::text[],
    :attributes::text[]
) AS added (id, key, service, name, kind, unit, attributes);

-- name: find_series(host_id, keys)
-- The numbers of series by key.
SELECT
    key,
    series_id AS id
FROM series
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: use_series(host_id, ids, day)
-- Note the day on which series were used; gives the numbers that are there.
WITH used AS (
    UPDATE series
    SET used_on = :day::date
    WHERE host_id = :host_id::int2
      AND series_id = ANY (:ids::int4[])
      AND used_on < :day::date
)
SELECT series_id AS id
FROM series
WHERE host_id = :host_id::int2
  AND series_id = ANY (:ids::int4[]);

-- name: drop_idle_series(host_id, before)!
-- Forget series that were used last before a day.
DELETE FROM series
WHERE host_id = :host_id::int2
  AND used_on < :before::date;

-- name: all_span_names(host_id, since)
-- Every name of spans of a host that was used on a day or later.
SELECT
    span_name_id AS id,
    used_on,
    service,
    name,
    kind
FROM span_names
WHERE host_id = :host_id::int2
  AND used_on >= :since::date;

-- name: add_span_names(host_id, ids, keys, services, names, kinds)!
-- Add names of spans that are new, with their numbers.
INSERT INTO span_names (host_id, span_name_id, key, service, name, kind)
SELECT
    :host_id::int2,
    added.*
FROM unnest(
    :ids::int4[],
    :keys::uuid[],
    :services::text[],
    :names::text[],
    :kinds::text[]
) AS added (id, key, service, name, kind);

-- name: find_span_names(host_id, keys)
-- The numbers of span names by key.
SELECT
    key,
    span_name_id AS id
FROM span_names
WHERE host_id = :host_id::int2
  AND key = ANY (:keys::uuid[]);

-- name: use_span_names(host_id, ids, day)
-- Note the day on which names of spans were used; gives the numbers that are there.
WITH used AS (
    UPDATE span_names
    SET used_on = :day::date
    WHERE host_id = :host_id::int2
      AND span_name_id = ANY (:ids::int4[])
      AND used_on < :day::date
)
SELECT span_name_id AS id
FROM span_names
WHERE host_id = :host_id::int2
  AND span_name_id = ANY (:ids::int4[]);

-- name: drop_idle_span_names(host_id, before)!
-- Forget names of spans that were used last before a day.
DELETE FROM span_names
WHERE host_id = :host_id::int2
  AND used_on < :before::date;
