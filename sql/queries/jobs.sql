-- name: job_series(host_id, name, most)
-- The pushed histograms of a name, and when each had its newest observation, to the minute.
SELECT
    series_id,
    service,
    attributes,
    (
        SELECT at
        FROM metric_histograms
        WHERE host_id = :host_id::int2
          AND series_id = series.series_id
        ORDER BY at DESC
        LIMIT 1
    ) AS last_at
FROM series
WHERE host_id = :host_id::int2
  AND name = :name
  AND kind = 'histogram'
ORDER BY series_id
LIMIT :most::int8;

-- name: job_points(host_id, series_ids, since, until, start, step, most)
-- How many observations some pushed histograms have by step, and the largest: of the newest so many
-- minutes with any. `rows` is how many there were, `rows_since` the oldest of them, which does not count
-- where there may be more of it.
WITH newest AS (
    SELECT
        series_id,
        at,
        count,
        max
    FROM metric_histograms
    WHERE host_id = :host_id::int2
      AND series_id = ANY (:series_ids::int4[])
      AND at >= :since::timestamptz
      AND at < :until::timestamptz
    ORDER BY at DESC
    LIMIT :most::int8
),
counted AS (
    SELECT
        count(*) AS rows,
        min(at) AS rows_since
    FROM newest
)
SELECT
    newest.series_id,
    date_bin(:step::interval, newest.at, :start::timestamptz) AS start,
    sum(newest.count)::int8 AS count,
    max(newest.max) AS max,
    counted.rows,
    counted.rows_since
FROM counted
LEFT JOIN newest ON newest.at > counted.rows_since OR counted.rows < :most::int8
GROUP BY 1, 2, counted.rows, counted.rows_since;
