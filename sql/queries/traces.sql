-- name: trace_spans(host_id, trace_id, since, until, most, most_bytes)
-- The spans of one trace within a stretch of time, in the order in which they ended, until they are
-- too many bytes; `found` is how many there were before that.
SELECT *
FROM (
    SELECT
        found.*,
        count(*) OVER () AS found,
        sum(coalesce(octet_length(attributes::text), 0) + coalesce(octet_length(error::text), 0))
            OVER (ORDER BY at, span_id ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            spans.at,
            spans.duration_us,
            spans.span_id,
            spans.parent_id,
            spans.status,
            spans.error_id,
            spans.attributes,
            spans.error,
            span_names.service,
            span_names.name,
            span_names.kind
        FROM span_rows AS spans
        JOIN span_names
            ON span_names.host_id = spans.host_id
            AND span_names.span_name_id = spans.span_name_id
        WHERE spans.host_id = :host_id::int2
          AND spans.trace_id = :trace_id::uuid
          AND spans.at >= :since::timestamptz
          AND spans.at < :until::timestamptz
        ORDER BY spans.at, spans.span_id
        LIMIT :most::int8
    ) AS found
) AS sized
WHERE bytes <= :most_bytes::int8
ORDER BY at, span_id;

-- name: trace_logs(host_id, trace_id, since, until, most, most_bytes)
-- The log lines of one trace within a stretch of time, oldest first, until they are too many bytes;
-- `found` is how many there were before that. No index knows their traces.
SELECT *
FROM (
    SELECT
        found.*,
        count(*) OVER () AS found,
        sum(
            octet_length(message)
            + coalesce(octet_length(fields::text), 0)
            + coalesce(octet_length(error::text), 0)
        ) OVER (ORDER BY at, writer, seq, index ROWS UNBOUNDED PRECEDING) AS bytes
    FROM (
        SELECT
            logs.at,
            logs.writer,
            logs.seq,
            logs.index,
            logs.level,
            loggers.service,
            loggers.name AS logger,
            logs.message,
            logs.trace_id,
            logs.fields,
            logs.error,
            logs.error_id
        FROM logs
        JOIN loggers
            ON loggers.host_id = logs.host_id
            AND loggers.logger_id = logs.logger_id
        WHERE logs.host_id = :host_id::int2
          AND logs.trace_id = :trace_id::uuid
          AND logs.at >= :since::timestamptz
          AND logs.at < :until::timestamptz
        ORDER BY logs.at, logs.writer, logs.seq, logs.index
        LIMIT :most::int8
    ) AS found
) AS sized
WHERE bytes <= :most_bytes::int8
ORDER BY at, writer, seq, index;

-- name: recent_traces(host_id, since, until, first_since, first_until, service, names, min_us, only_errors, seen, rows, most)
-- The newest traces of a stretch of time, each by what began first of its requests and its spans
-- without a parent, if that is of a service ('': of any), a name, a duration. `names` are ILIKE patterns.
-- Of so many rows that are so only the newest count; `rows` is how many did, and `rows_since` the oldest
-- of them. What began a trace is looked for in a longer stretch.
WITH heads AS NOT MATERIALIZED (
    SELECT
        requests.at,
        requests.duration_us,
        requests.trace_id,
        requests.error_id,
        endpoints.service,
        endpoints.method || ' ' || endpoints.route AS name,
        'request' AS kind,
        requests.status::text AS status,
        requests.status >= 500 OR requests.error_id IS NOT NULL AS error
    FROM request_rows AS requests
    JOIN endpoints
        ON endpoints.host_id = requests.host_id
        AND endpoints.endpoint_id = requests.endpoint_id
    WHERE requests.host_id = :host_id::int2
      AND requests.at >= :first_since::timestamptz
      AND requests.at < :first_until::timestamptz
      AND requests.trace_id IS NOT NULL
    UNION ALL
    SELECT
        spans.at,
        spans.duration_us,
        spans.trace_id,
        spans.error_id,
        span_names.service,
        span_names.name,
        span_names.kind,
        (ARRAY['unset', 'ok', 'error'])[spans.status + 1],
        spans.status = 2 OR spans.error_id IS NOT NULL
    FROM span_rows AS spans
    JOIN span_names
        ON span_names.host_id = spans.host_id
        AND span_names.span_name_id = spans.span_name_id
    WHERE spans.host_id = :host_id::int2
      AND spans.at >= :first_since::timestamptz
      AND spans.at < :first_until::timestamptz
      AND spans.parent_id IS NULL
),
newest AS MATERIALIZED (
    SELECT
        at,
        trace_id
    FROM heads
    WHERE at >= :since::timestamptz
      AND at < :until::timestamptz
      AND (:service::text = '' OR service = :service::text)
      AND (:names::text[] IS NULL OR name ILIKE ANY (:names::text[]))
      AND duration_us >= :min_us::int8
      AND (error OR NOT :only_errors::bool)
      AND trace_id <> ALL (:seen::uuid[])
    ORDER BY at DESC
    LIMIT :rows::int8
),
traces AS (
    SELECT DISTINCT ON (trace_id) *
    FROM heads
    WHERE trace_id IN (SELECT trace_id FROM newest)
    ORDER BY trace_id, at - duration_us * interval '1 microsecond', at DESC
),
counted AS (
    SELECT
        count(*) AS rows,
        min(at) AS rows_since
    FROM newest
)
SELECT
    traces.*,
    counted.rows,
    counted.rows_since
FROM counted
LEFT JOIN traces
    ON traces.at >= counted.rows_since
    AND traces.at < :until::timestamptz
    AND (:service::text = '' OR traces.service = :service::text)
    AND (:names::text[] IS NULL OR traces.name ILIKE ANY (:names::text[]))
    AND traces.duration_us >= :min_us::int8
    AND (traces.error OR NOT :only_errors::bool)
ORDER BY traces.at DESC, traces.trace_id
LIMIT :most::int8;

-- name: count_trace_spans(host_id, traces, since, until)
-- How many spans some traces have within a stretch of time.
SELECT
    trace_id,
    count(*) AS spans
FROM span_rows
WHERE host_id = :host_id::int2
  AND trace_id = ANY (:traces::uuid[])
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
GROUP BY trace_id;
