-- name: exact_requests(host_id, since, until, most)
-- The figures of a stretch of time from its rows: first of all of it, then of each of the endpoints
-- with the most requests. `endpoints` is how many there were. percentile_disc is the nearest rank:
-- a duration that was measured, never one between two.
WITH figures AS (
    SELECT
        endpoint_id,
        count(*) AS count,
        count(*) FILTER (WHERE status >= 500 OR error_id IS NOT NULL) AS errors,
        avg(duration_us)::float8 AS avg_us,
        percentile_disc(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY duration_us) AS ranked_us,
        max(duration_us) AS max_us,
        count(*) OVER () - 1 AS endpoints,
        row_number() OVER (ORDER BY grouping(endpoint_id) DESC, count(*) DESC, endpoint_id) AS place
    FROM request_rows
    WHERE host_id = :host_id::int2
      AND at >= :since::timestamptz
      AND at < :until::timestamptz
    GROUP BY GROUPING SETS ((), (endpoint_id))
)
SELECT
    endpoints.service,
    endpoints.method,
    endpoints.route,
    figures.count,
    figures.errors,
    figures.avg_us,
    figures.ranked_us,
    figures.max_us,
    figures.endpoints
FROM figures
LEFT JOIN endpoints
    ON endpoints.host_id = :host_id::int2
    AND endpoints.endpoint_id = figures.endpoint_id
WHERE figures.place <= 1 + :most::int8
ORDER BY figures.place;

-- name: trace_requests(host_id, trace_id, since, until, most)
-- The requests of one trace within a stretch of time, in the order in which they ended.
SELECT
    requests.at,
    endpoints.service,
    endpoints.method,
    endpoints.route,
    requests.status,
    requests.duration_us,
    requests.status >= 500 OR requests.error_id IS NOT NULL AS error,
    requests.error_id
FROM request_rows AS requests
JOIN endpoints
    ON endpoints.host_id = requests.host_id
    AND endpoints.endpoint_id = requests.endpoint_id
WHERE requests.host_id = :host_id::int2
  AND requests.trace_id = :trace_id::uuid
  AND requests.at >= :since::timestamptz
  AND requests.at < :until::timestamptz
ORDER BY requests.at
LIMIT :most::int8;
