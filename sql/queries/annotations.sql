-- name: add_annotations(host_id, writers, seqs, indexes, ats_us, services, kinds, titles, texts, attributes)!
-- Keep annotations.
INSERT INTO annotations (
    host_id, at, writer, seq, index, service, kind, title, text, attributes
)
SELECT
    :host_id::int2,
    timestamptz '2000-01-01 00:00+00' + added.at_us * interval '1 microsecond',
    added.writer,
    added.seq,
    added.index,
    added.service,
    added.kind,
    added.title,
    added.text,
    added.attributes::jsonb
FROM unnest(
    :writers::int8[],
    :seqs::int8[],
    :indexes::int4[],
    :ats_us::int8[],
    :services::text[],
    :kinds::text[],
    :titles::text[],
    :texts::text[],
    :attributes::text[]
) AS added (writer, seq, index, at_us, service, kind, title, text, attributes);

-- name: drop_oldest_annotations(host_id, most)!
-- Delete all annotations but so many of the newest.
DELETE FROM annotations
USING (
    SELECT
        at,
        writer,
        seq,
        index
    FROM annotations
    WHERE host_id = :host_id::int2
    ORDER BY at DESC, writer DESC, seq DESC, index DESC
    OFFSET :most::int8
) AS old
WHERE annotations.host_id = :host_id::int2
  AND annotations.at = old.at
  AND annotations.writer = old.writer
  AND annotations.seq = old.seq
  AND annotations.index = old.index;

-- name: annotations_between(host_id, since, until, service, most)
-- The newest annotations of a stretch of time: of any service (''), or of one and of none.
SELECT
    at,
    writer,
    seq,
    index,
    service,
    kind,
    title,
    text,
    attributes
FROM annotations
WHERE host_id = :host_id::int2
  AND at >= :since::timestamptz
  AND at < :until::timestamptz
  AND (:service::text = '' OR service IN ('', :service::text))
ORDER BY at DESC, writer DESC, seq DESC, index DESC
LIMIT :most::int8;
