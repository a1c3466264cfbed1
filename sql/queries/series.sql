-- name: series_like(host_id, names, service, attributes, most)
-- The series with a name and with at least these attributes, of any service (''), by their names,
-- and how many there are. `names` are patterns for ILIKE. `last_at` is the newest sample kept.
SELECT
    found.*,
    CASE
        WHEN found.kind = 'histogram' THEN (
            SELECT at
            FROM metric_histograms
            WHERE host_id = :host_id::int2
              AND series_id = found.series_id
            ORDER BY at DESC
            LIMIT 1
        )
        ELSE (
            SELECT at
            FROM metrics
            WHERE host_id = :host_id::int2
              AND series_id = found.series_id
            ORDER BY at DESC
            LIMIT 1
        )
    END AS last_at
FROM (
    SELECT
        series_id,
        name,
        kind,
        unit,
        service,
        attributes,
        count(*) OVER () AS total
    FROM series
    WHERE host_id = :host_id::int2
      AND (:names::text[] IS NULL OR name ILIKE ANY (:names::text[]))
      AND (:service::text = '' OR service = :service::text)
      AND attributes @> :attributes::jsonb
    ORDER BY name, service, series_id
    LIMIT :most::int8
) AS found
ORDER BY found.name, found.service, found.series_id;

-- name: histogram_cells(host_id, series_ids, since, until, start, step, most)
-- The pushed histograms of some series as they are stored, the newest first, with the step each
-- belongs to.
SELECT
    series_id,
    at,
    date_bin(:step::interval, at, :start::timestamptz) AS start,
    count,
    sum,
    min,
    max,
    cells
FROM metric_histograms
WHERE host_id = :host_id::int2
  AND series_id = ANY (:series_ids::int4[])
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
ORDER BY at DESC
LIMIT :most::int8;
