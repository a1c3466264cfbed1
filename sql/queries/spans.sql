-- name: hold_spans()!
-- Let no hour be closed, and no closed one be dropped, until the transaction ends.
LOCK TABLE fresh_spans, fresh_spans_closed IN ACCESS SHARE MODE;

-- name: thinning_marks()
-- The hours that are being thinned, oldest first, and how far each has come.
SELECT
    hour,
    closing,
    until,
    flagged_until
FROM span_thinning_marks
ORDER BY hour;

-- name: add_thinning_mark(hour)$
-- Begin with an hour, unless it is being thinned already; says whether.
WITH added AS (
    INSERT INTO span_thinning_marks (hour, until)
    VALUES (:hour::timestamptz, :hour::timestamptz)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM added);

-- name: move_thinning_mark(closing, since, until)$
-- Say that an hour is thinned up to here, unless another session has said so; says whether.
WITH moved AS (
    UPDATE span_thinning_marks
    SET until = :until::timestamptz
    WHERE closing = :closing::int8
      AND until = :since::timestamptz
    RETURNING 1
)
SELECT EXISTS (SELECT FROM moved);

-- name: note_flagged(closing, since, until)$
-- Say that the traces of an hour are flagged up to here, unless another session has said so; says
-- whether.
WITH noted AS (
    UPDATE span_thinning_marks
    SET flagged_until = :until::timestamptz
    WHERE closing = :closing::int8
      AND flagged_until IS NOT DISTINCT FROM :since::timestamptz
    RETURNING 1
)
SELECT EXISTS (SELECT FROM noted);

-- name: forget_thinning_mark(hour)$
-- Thin no more of an hour, whoever is at it; says whether it was being thinned.
WITH dropped AS (
    DELETE FROM span_thinning_marks
    WHERE hour = :hour::timestamptz
    RETURNING 1
)
SELECT EXISTS (SELECT FROM dropped);

-- name: drop_thinning_mark(closing)$
-- Be done with an hour, unless another session was; says whether.
WITH dropped AS (
    DELETE FROM span_thinning_marks
    WHERE closing = :closing::int8
    RETURNING 1
)
SELECT EXISTS (SELECT FROM dropped);

-- name: any_closed_span(since, until)$
-- Whether there is a span in a stretch of a closed hour.
SELECT EXISTS (
    SELECT
    FROM fresh_spans_closed
    WHERE at >= :since::timestamptz
      AND at < :until::timestamptz
);

-- name: flag_failed(hour, since, until)!
-- Keep the traces with an error, of a span or of a request.
INSERT INTO flagged_traces (hour, trace_id)
SELECT
    :hour::timestamptz,
    trace_id
FROM span_rows
WHERE at >= :since::timestamptz
  AND at < :until::timestamptz
  AND (status = 2 OR error_id IS NOT NULL)
UNION
SELECT
    :hour::timestamptz,
    trace_id
FROM request_rows
WHERE at >= :since::timestamptz
  AND at < :until::timestamptz
  AND trace_id IS NOT NULL
  AND (status >= 500 OR error_id IS NOT NULL)
ON CONFLICT DO NOTHING;

-- name: flag_slowest(hour, since, until, slowest)!
-- Keep the traces of each endpoint's slowest requests.
WITH traces AS (
    SELECT
        host_id,
        endpoint_id,
        trace_id,
        max(duration_us) AS duration_us
    FROM request_rows
    WHERE at >= :since::timestamptz
      AND at < :until::timestamptz
      AND trace_id IS NOT NULL
    GROUP BY host_id, endpoint_id, trace_id
), ranked AS (
    SELECT
        trace_id,
        row_number() OVER (
            PARTITION BY host_id, endpoint_id
            ORDER BY duration_us DESC, trace_id
        ) AS place
    FROM traces
)
INSERT INTO flagged_traces (hour, trace_id)
SELECT DISTINCT
    :hour::timestamptz,
    trace_id
FROM ranked
WHERE place <= :slowest::int8
ON CONFLICT DO NOTHING;

-- name: flag_slowest_roots(hour, since, until, slowest)!
-- Keep the slowest traces of those without a request, by the name of their first step. A request
-- ends when its first step does, or nearly.
WITH traces AS (
    SELECT
        host_id,
        span_name_id,
        trace_id,
        max(duration_us) AS duration_us
    FROM span_rows
    WHERE at >= :since::timestamptz
      AND at < :until::timestamptz
      AND parent_id IS NULL
      AND NOT EXISTS (
        SELECT
        FROM request_rows
        WHERE request_rows.trace_id = span_rows.trace_id
          AND request_rows.at >= :since::timestamptz - interval '1 minute'
          AND request_rows.at < :until::timestamptz + interval '1 minute'
      )
    GROUP BY host_id, span_name_id, trace_id
), ranked AS (
    SELECT
        trace_id,
        row_number() OVER (
            PARTITION BY host_id, span_name_id
            ORDER BY duration_us DESC, trace_id
        ) AS place
    FROM traces
)
INSERT INTO flagged_traces (hour, trace_id)
SELECT DISTINCT
    :hour::timestamptz,
    trace_id
FROM ranked
WHERE place <= :slowest::int8
ON CONFLICT DO NOTHING;

-- name: forget_flags()!
-- Forget what was to be kept of hours that are not being thinned any more.
DELETE FROM flagged_traces
WHERE NOT EXISTS (
    SELECT
    FROM span_thinning_marks
    WHERE span_thinning_marks.hour = flagged_traces.hour
);

-- name: keep_spans(hour, since, until, share_percent)^
-- Copy what is kept of a stretch of a closed hour, and add up what was and what was not. The share
-- goes by a hash of the trace id: a trace is in it everywhere and at every time, or nowhere.
WITH copied AS (
    INSERT INTO spans (
        at,
        duration_us,
        span_id,
        parent_id,
        error_id,
        trace_id,
        span_name_id,
        status,
        host_id,
        attributes,
        error
    )
    SELECT
        closed.at,
        closed.duration_us,
        closed.span_id,
        closed.parent_id,
        closed.error_id,
        closed.trace_id,
        closed.span_name_id,
        closed.status,
        closed.host_id,
        closed.attributes,
        closed.error
    FROM fresh_spans_closed AS closed
    LEFT JOIN flagged_traces AS flagged
        ON flagged.hour = :hour::timestamptz
        AND flagged.trace_id = closed.trace_id
    WHERE closed.at >= :since::timestamptz
      AND closed.at < :until::timestamptz
      AND (
        flagged.trace_id IS NOT NULL
        OR (uuid_hash_extended(closed.trace_id, 0) & 4294967295) * 100
            < :share_percent::int8 * 4294967296
      )
    RETURNING host_id
), kept AS (
    SELECT
        host_id,
        count(*) AS spans
    FROM copied
    GROUP BY host_id
), came AS (
    SELECT
        host_id,
        count(*) AS spans
    FROM fresh_spans_closed
    WHERE at >= :since::timestamptz
      AND at < :until::timestamptz
    GROUP BY host_id
), counted AS (
    SELECT
        came.host_id,
        coalesce(kept.spans, 0) AS kept,
        came.spans - coalesce(kept.spans, 0) AS let_go
    FROM came
    LEFT JOIN kept ON kept.host_id = came.host_id
), noted AS (
    INSERT INTO span_thinnings AS noted (host_id, hour, kept, let_go)
    SELECT
        host_id,
        :hour::timestamptz,
        kept,
        let_go
    FROM counted
    ON CONFLICT (host_id, hour) DO UPDATE
    SET kept = noted.kept + excluded.kept,
        let_go = noted.let_go + excluded.let_go
)
SELECT
    coalesce(sum(kept), 0)::int8 AS kept,
    coalesce(sum(let_go), 0)::int8 AS let_go
FROM counted;
