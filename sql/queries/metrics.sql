-- name: put_gauges(host_id, series_ids, ats_us, values)!
-- Keep values; a later value of the same series and microsecond replaces the earlier.
INSERT INTO metrics (at, value, series_id, host_id)
SELECT
    timestamptz '2000-01-01 00:00+00' + sample.at_us * interval '1 microsecond',
    sample.value,
    sample.series_id,
    :host_id::int2
FROM unnest(:series_ids::int4[], :ats_us::int8[], :values::float8[])
    AS sample (series_id, at_us, value)
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET value = excluded.value;

-- name: put_counters(host_id, series_ids, ats_us, values)!
-- Keep increments; those of the same series and microsecond add up.
INSERT INTO metrics (at, value, series_id, host_id)
SELECT
    timestamptz '2000-01-01 00:00+00' + sample.at_us * interval '1 microsecond',
    sample.value,
    sample.series_id,
    :host_id::int2
FROM unnest(:series_ids::int4[], :ats_us::int8[], :values::float8[])
    AS sample (series_id, at_us, value)
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET value = metrics.value + excluded.value;

-- name: lock_metric_histograms(host_id, series_ids, ats_us)
-- The pushed histograms of some series and minutes, held until the transaction ends.
SELECT
    series_id,
    (extract(epoch FROM at - timestamptz '2000-01-01 00:00+00') * 1000000)::int8 AS at_us,
    count,
    sum,
    min,
    max,
    cells
FROM metric_histograms
WHERE host_id = :host_id::int2
  AND (series_id, at) IN (
      SELECT
          wanted.series_id,
          timestamptz '2000-01-01 00:00+00' + wanted.at_us * interval '1 microsecond'
      FROM unnest(:series_ids::int4[], :ats_us::int8[]) AS wanted (series_id, at_us)
  )
FOR UPDATE;

-- name: put_metric_histograms(host_id, series_ids, ats_us, counts, sums, mins, maxs, cells)!
-- Keep pushed histograms as given, in place of what was there.
INSERT INTO metric_histograms (at, count, sum, min, max, series_id, host_id, cells)
SELECT
    timestamptz '2000-01-01 00:00+00' + given.at_us * interval '1 microsecond',
    given.count,
    given.sum,
    given.min,
    given.max,
    given.series_id,
    :host_id::int2,
    given.cells
FROM unnest(
    :series_ids::int4[],
    :ats_us::int8[],
    :counts::int8[],
    :sums::float8[],
    :mins::float8[],
    :maxs::float8[],
    :cells::bytea[]
) AS given (series_id, at_us, count, sum, min, max, cells)
ON CONFLICT (host_id, series_id, at) DO UPDATE
SET count = excluded.count,
    sum = excluded.sum,
    min = excluded.min,
    max = excluded.max,
    cells = excluded.cells;

-- name: metric_names(host_id)
-- The names there are series of.
SELECT DISTINCT name
FROM series
WHERE host_id = :host_id::int2
ORDER BY name;

-- name: matching_series(host_id, name, attributes, service, kind, most)
-- The series of a name that have at least these attributes: of a service, of none (''), of any
-- (null), and of a kind, of any (null).
SELECT
    series_id,
    kind,
    service,
    attributes
FROM series
WHERE host_id = :host_id::int2
  AND name = :name
  AND attributes @> :attributes::jsonb
  AND (:service::text IS NULL OR service = :service::text)
  AND (:kind::text IS NULL OR kind = :kind::text)
ORDER BY series_id
LIMIT :most::int8;

-- name: sample_points(host_id, series_ids, hours_since, hours_until, minutes_until, until, start, step)
-- Samples put together by series and step: hours first, then minutes, then the samples themselves,
-- each up to where the coarser one has come.
SELECT
    series_id,
    date_bin(:step::interval, at, :start::timestamptz) AS start,
    sum(sum) / sum(count) AS avg,
    min(min) AS min,
    max(max) AS max,
    sum(sum) AS sum,
    (array_agg(last ORDER BY at DESC))[1] AS last
FROM (
    SELECT series_id, at, count, sum, min, max, last
    FROM metric_rollup_hours
    WHERE host_id = :host_id::int2
      AND series_id = ANY (:series_ids::int4[])
      AND at >= :hours_since::timestamptz
      AND at < :hours_until::timestamptz
    UNION ALL
    SELECT series_id, at, count, sum, min, max, last
    FROM metric_rollup_minutes
    WHERE host_id = :host_id::int2
      AND series_id = ANY (:series_ids::int4[])
      AND at >= :hours_until::timestamptz
      AND at < :minutes_until::timestamptz
    UNION ALL
    SELECT series_id, at, 1, value, value, value, value
    FROM metrics
    WHERE host_id = :host_id::int2
      AND series_id = ANY (:series_ids::int4[])
      AND at >= :minutes_until::timestamptz
      AND at < :until::timestamptz
) AS part
GROUP BY 1, 2;

-- name: histogram_points(host_id, series_ids, since, until, step)
-- Pushed histograms put together by series and step, but for their cells.
SELECT
    series_id,
    date_bin(:step::interval, at, :since::timestamptz) AS start,
    sum(sum) / sum(count) AS avg,
    min(min) AS min,
    max(max) AS max,
    sum(sum) AS sum
FROM metric_histograms
WHERE host_id = :host_id::int2
  AND series_id = ANY (:series_ids::int4[])
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
GROUP BY 1, 2;
