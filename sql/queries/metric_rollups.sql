-- name: start_mark(host_id, tier, until)!
-- Begin to roll up at a moment, unless it has begun.
INSERT INTO metric_rollup_marks (host_id, tier, until)
VALUES (:host_id::int2, :tier::int4, :until::timestamptz)
ON CONFLICT (host_id, tier) DO NOTHING;

-- name: hold_mark(host_id, tier)$
-- How far a tier has come, held against writes and others that would move it.
SELECT until
FROM metric_rollup_marks
WHERE host_id = :host_id::int2
  AND tier = :tier::int4
FOR UPDATE;

-- name: move_mark(host_id, tier, until)!
-- A tier has come so far.
UPDATE metric_rollup_marks
SET until = :until::timestamptz
WHERE host_id = :host_id::int2
  AND tier = :tier::int4;

-- name: read_marks(host_id)
-- How far each tier has come.
SELECT
    tier,
    until
FROM metric_rollup_marks
WHERE host_id = :host_id::int2;

-- name: share_marks(host_id)
-- How far each tier has come, and no further until the transaction ends.
SELECT
    tier,
    until
FROM metric_rollup_marks
WHERE host_id = :host_id::int2
FOR SHARE;

-- name: roll_minutes(host_id, since, until)!
-- Put the samples of some minutes together.
INSERT INTO metric_rollup_minutes (at, count, sum, min, max, last, series_id, host_id)
SELECT
    date_bin('1 minute', at, timestamptz '2000-01-01 00:00+00') AS start,
    count(*),
    sum(value),
    min(value),
    max(value),
    (array_agg(value ORDER BY at DESC))[1],
    series_id,
    host_id
FROM metrics
WHERE host_id = :host_id::int2
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
GROUP BY host_id, series_id, start
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    min = excluded.min,
    max = excluded.max,
    last = excluded.last;

-- name: roll_hours(host_id, since, until)!
-- Put the minutes of some hours together.
INSERT INTO metric_rollup_hours (at, count, sum, min, max, last, series_id, host_id)
SELECT
    date_bin('1 hour', at, timestamptz '2000-01-01 00:00+00') AS start,
    sum(count),
    sum(sum),
    min(min),
    max(max),
    (array_agg(last ORDER BY at DESC))[1],
    series_id,
    host_id
FROM metric_rollup_minutes
WHERE host_id = :host_id::int2
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
GROUP BY host_id, series_id, start
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    min = excluded.min,
    max = excluded.max,
    last = excluded.last;

-- name: roll_minutes_again(host_id, series_ids, ats_us)!
-- Put the samples of some series and minutes together once more: one of them has come late.
INSERT INTO metric_rollup_minutes (at, count, sum, min, max, last, series_id, host_id)
SELECT
    late.start,
    count(*),
    sum(sample.value),
    min(sample.value),
    max(sample.value),
    (array_agg(sample.value ORDER BY sample.at DESC))[1],
    late.series_id,
    :host_id::int2
FROM (
    SELECT DISTINCT
        given.series_id,
        date_bin(
            '1 minute',
            timestamptz '2000-01-01 00:00+00' + given.at_us * interval '1 microsecond',
            timestamptz '2000-01-01 00:00+00'
        ) AS start
    FROM unnest(:series_ids::int4[], :ats_us::int8[]) AS given (series_id, at_us)
) AS late
JOIN metrics AS sample
    ON sample.host_id = :host_id::int2
    AND sample.series_id = late.series_id
    AND sample.at >= late.start
    AND sample.at < late.start + interval '1 minute'
GROUP BY late.series_id, late.start
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    min = excluded.min,
    max = excluded.max,
    last = excluded.last;

-- name: roll_hours_again(host_id, series_ids, ats_us)!
-- Put the samples of some series and hours together once more. Their minutes may be gone already.
INSERT INTO metric_rollup_hours (at, count, sum, min, max, last, series_id, host_id)
SELECT
    late.start,
    count(*),
    sum(sample.value),
    min(sample.value),
    max(sample.value),
    (array_agg(sample.value ORDER BY sample.at DESC))[1],
    late.series_id,
    :host_id::int2
FROM (
    SELECT DISTINCT
        given.series_id,
        date_bin(
            '1 hour',
            timestamptz '2000-01-01 00:00+00' + given.at_us * interval '1 microsecond',
            timestamptz '2000-01-01 00:00+00'
        ) AS start
    FROM unnest(:series_ids::int4[], :ats_us::int8[]) AS given (series_id, at_us)
) AS late
JOIN metrics AS sample
    ON sample.host_id = :host_id::int2
    AND sample.series_id = late.series_id
    AND sample.at >= late.start
    AND sample.at < late.start + interval '1 hour'
GROUP BY late.series_id, late.start
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    min = excluded.min,
    max = excluded.max,
    last = excluded.last;
