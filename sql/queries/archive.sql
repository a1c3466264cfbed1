-- name: archive_marks()
-- The days that are being packed, oldest first, and how far each has come.
SELECT
    day,
    closing,
    until
FROM request_archive_marks
ORDER BY day;

-- name: add_archive_mark(day, until)$
-- Begin with a day, unless it is being packed already; says whether.
WITH added AS (
    INSERT INTO request_archive_marks (day, until)
    VALUES (:day::date, :until::timestamptz)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM added);

-- name: move_archive_mark(closing, since, until)$
-- Say that a day is packed up to here, unless another session has said so; says whether.
WITH moved AS (
    UPDATE request_archive_marks
    SET until = :until::timestamptz
    WHERE closing = :closing::int8
      AND until = :since::timestamptz
    RETURNING 1
)
SELECT EXISTS (SELECT FROM moved);

-- name: drop_archive_mark(closing)$
-- Be done with a day, unless another session was; says whether.
WITH dropped AS (
    DELETE FROM request_archive_marks
    WHERE closing = :closing::int8
    RETURNING 1
)
SELECT EXISTS (SELECT FROM dropped);

-- name: forget_archive_mark(day)$
-- Pack no more of a day, whoever is at it; says whether it was being packed.
WITH dropped AS (
    DELETE FROM request_archive_marks
    WHERE day = :day::date
    RETURNING 1
)
SELECT EXISTS (SELECT FROM dropped);

-- name: summarize(table)!
-- Let the BRIN indexes of a table know every page of it; most they know already.
SELECT brin_summarize_new_values(indexrelid)
FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_am ON pg_am.oid = relam
WHERE indrelid = to_regclass(:table::text)
  AND amname = 'brin';

-- name: requests_to_pack(since, until, most)
-- The oldest requests of a closed day, so many and those of the same microsecond as the last.
SELECT
    at,
    duration_us,
    coalesce(trace_id, '00000000-0000-0000-0000-000000000000'),
    trace_id IS NOT NULL,
    coalesce(error_id, 0),
    error_id IS NOT NULL,
    endpoint_id,
    status,
    host_id
FROM requests_closed
WHERE at >= :since::timestamptz
  AND at < :until::timestamptz
ORDER BY at
FETCH FIRST (:most::int8) ROWS WITH TIES;

-- name: add_chunks(host_ids, firsts_us, lasts_us, counts, numbers, traces, trace_filters)!
-- Put chunks into the archive, each as the next one of its moment.
WITH added AS (
    SELECT
        host_id,
        timestamptz '2000-01-01 00:00+00' + first_us * interval '1 microsecond' AS at,
        timestamptz '2000-01-01 00:00+00' + last_us * interval '1 microsecond' AS last_at,
        count,
        numbers,
        traces,
        trace_filter
    FROM unnest(
        :host_ids::int2[],
        :firsts_us::int8[],
        :lasts_us::int8[],
        :counts::int4[],
        :numbers::bytea[],
        :traces::bytea[],
        :trace_filters::bytea[]
    ) AS packed (host_id, first_us, last_us, count, numbers, traces, trace_filter)
)
INSERT INTO request_archive (
    at, last_at, chunk, count, host_id, numbers, traces, trace_filter
)
SELECT
    added.at,
    added.last_at,
    (
        SELECT coalesce(max(stored.chunk) + 1, 0)
        FROM request_archive AS stored
        WHERE stored.host_id = added.host_id
          AND stored.at = added.at
    ),
    added.count,
    added.host_id,
    added.numbers,
    added.traces,
    added.trace_filter
FROM added;

-- name: hold_requests()!
-- Let no day be closed, and none be dropped, until the transaction ends.
LOCK TABLE requests, requests_closed IN ACCESS SHARE MODE;

-- name: rows_between(host_id, since, until)
-- The requests of a stretch of time that are rows still, column for column as requests_to_pack.
SELECT
    at,
    duration_us,
    coalesce(trace_id, '00000000-0000-0000-0000-000000000000'),
    trace_id IS NOT NULL,
    coalesce(error_id, 0),
    error_id IS NOT NULL,
    endpoint_id,
    status,
    host_id
FROM request_rows
WHERE host_id = :host_id::int2
  AND at >= :since::timestamptz
  AND at < :until::timestamptz;

-- name: any_chunk_between(host_id, since, until)$
-- Whether a stretch of time is touched by a chunk. None is longer than an hour.
SELECT EXISTS (
    SELECT
    FROM request_archive
    WHERE host_id = :host_id::int2
      AND at > :since::timestamptz - interval '1 hour'
      AND at < :until::timestamptz
      AND last_at >= :since::timestamptz
);

-- name: chunks_between(host_id, since, until, with_traces)
-- The chunks that may hold requests of a stretch of time.
SELECT
    at,
    count,
    numbers,
    CASE WHEN :with_traces::boolean THEN traces END AS traces
FROM request_archive
WHERE host_id = :host_id::int2
  AND at > :since::timestamptz - interval '1 hour'
  AND at < :until::timestamptz
  AND last_at >= :since::timestamptz
ORDER BY at, chunk;

-- name: filters_between(host_id, since, until, block)
-- Of each chunk of a stretch of time, the 64 bytes of its filter that know a trace id; `block` is
-- the id's first hash. Only these bytes are read, however long the filter is.
SELECT
    at,
    chunk,
    substring(
        trace_filter
        FROM 1 + 64 * (:block::int8 % (octet_length(trace_filter) / 64))::int4
        FOR 64
    ) AS bits
FROM request_archive
WHERE host_id = :host_id::int2
  AND at > :since::timestamptz - interval '1 hour'
  AND at < :until::timestamptz
  AND last_at >= :since::timestamptz
  AND trace_filter IS NOT NULL
ORDER BY at, chunk;

-- name: find_chunk(host_id, at, chunk)^
-- One chunk.
SELECT
    at,
    count,
    numbers,
    traces
FROM request_archive
WHERE host_id = :host_id::int2
  AND at = :at::timestamptz
  AND chunk = :chunk::int4;
