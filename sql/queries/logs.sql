-- name: find_log(host_id, writer, seq, index)$
-- When the line with this identity was written.
SELECT at
FROM logs
WHERE host_id = :host_id::int2
  AND writer = :writer::int8
  AND seq = :seq::int8
  AND index = :index::int4;

-- name: log_before(host_id, writer, seq, index)^
-- The line that arrived last before an identity which is not there any more.
SELECT
    at,
    writer,
    seq,
    index
FROM logs
WHERE host_id = :host_id::int2
  AND (writer, seq, index) < (:writer::int8, :seq::int8, :index::int4)
ORDER BY writer DESC, seq DESC, index DESC
LIMIT 1;

-- name: oldest_log(host_id, since, until)^
-- The oldest line of a stretch of time.
SELECT
    writer,
    seq,
    index
FROM logs
WHERE host_id = :host_id::int2
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
ORDER BY at, writer, seq, index
LIMIT 1;

-- name: log_slice(host_id, since, until, at, writer, seq, index, level, texts, documents, trace, most)
-- The newest lines of a stretch of time that come before a line. The patterns are for ILIKE:
-- `texts` for a text, `documents` for that text within JSON, `trace` for the trace id. Writing out
-- the fields is cheap and misses nothing; only what it finds is taken apart, for it also finds
-- punctuation and escapes of JSON that nobody logged.
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
    logs.error
FROM logs
JOIN loggers
    ON loggers.host_id = logs.host_id
    AND loggers.logger_id = logs.logger_id
WHERE logs.host_id = :host_id::int2
  AND logs.at >= :since::timestamptz
  AND logs.at < :until::timestamptz
  AND (logs.at, logs.writer, logs.seq, logs.index)
      < (:at::timestamptz, :writer::int8, :seq::int8, :index::int4)
  AND logs.level >= :level::int2
  AND (
      :texts::text[] IS NULL
      OR logs.message ILIKE ANY (:texts::text[])
      OR loggers.name ILIKE ANY (:texts::text[])
      OR loggers.service ILIKE ANY (:texts::text[])
      OR replace(logs.trace_id::text, '-', '') LIKE :trace::text
      OR logs.error ->> 'type' ILIKE ANY (:texts::text[])
      OR logs.error ->> 'message' ILIKE ANY (:texts::text[])
      OR (
          logs.fields::text ILIKE ANY (:documents::text[])
          AND EXISTS (
              SELECT
              FROM jsonb_path_query(logs.fields, 'strict $.**') AS part (value)
              WHERE CASE jsonb_typeof(part.value)
                  WHEN 'array' THEN false
                  WHEN 'object' THEN EXISTS (
                      SELECT
                      FROM jsonb_object_keys(part.value) AS key (name)
                      WHERE key.name ILIKE ANY (:texts::text[])
                  )
                  ELSE part.value #>> '{}' ILIKE ANY (:texts::text[])
              END
          )
      )
  )
ORDER BY logs.at DESC, logs.writer DESC, logs.seq DESC, logs.index DESC
LIMIT :most::int8;

-- name: limit_statement(milliseconds)!
-- Give the statements of this transaction so much time each.
SELECT set_config('statement_timeout', :milliseconds::text, true);
