-- Samples of scraped or pushed numbers. A gauge is a value; a counter is the increment since the
-- sample before. The value lies in the index too, so that a chart reads the index alone.

CREATE TABLE metrics (
    at timestamptz NOT NULL,
    value float8 NOT NULL,
    series_id int4 NOT NULL,
    host_id int2 NOT NULL,
    PRIMARY KEY (host_id, series_id, at) INCLUDE (value)
) PARTITION BY RANGE (at);

-- Pushed histograms, one row per series and minute (`at` is its start), merged as they arrive.
-- `cells` is documented where it is packed (monitord/store/cells.py).
CREATE TABLE metric_histograms (
    at timestamptz NOT NULL,
    count int8 NOT NULL,
    sum float8 NOT NULL,
    min float8 NOT NULL,
    max float8 NOT NULL,
    series_id int4 NOT NULL,
    host_id int2 NOT NULL,
    cells bytea NOT NULL,
    PRIMARY KEY (host_id, series_id, at)
) PARTITION BY RANGE (at);
