-- The last UTC day on which a name was used. One that was not for long makes room for others; its
-- row goes when nothing can point at it any more.
ALTER TABLE endpoints
    ADD COLUMN used_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;

ALTER TABLE loggers
    ADD COLUMN used_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;

ALTER TABLE span_names
    ADD COLUMN used_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;

ALTER TABLE series
    ADD COLUMN used_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date;

-- The last number that was given to a name of a table. Rows and error_group_endpoints may point at a
-- name that is gone, so no number is given twice.
CREATE TABLE name_numbers (
    host_id int2 NOT NULL,
    name_table text NOT NULL,
    last int4 NOT NULL,
    PRIMARY KEY (host_id, name_table)
);

INSERT INTO name_numbers
SELECT host_id, 'endpoints', max(endpoint_id) FROM endpoints GROUP BY host_id
UNION ALL
SELECT host_id, 'loggers', max(logger_id) FROM loggers GROUP BY host_id
UNION ALL
SELECT host_id, 'span_names', max(span_name_id) FROM span_names GROUP BY host_id
UNION ALL
SELECT host_id, 'series', max(series_id) FROM series GROUP BY host_id;
