-- Samples put together by minute and by hour, so that a chart of days reads few rows. A period is
-- rolled up once it is over; marks say how far that has come. A sample that arrives behind a mark
-- has its period rolled up again in its own transaction.
--
-- Two tables, because minutes and hours are kept for different times and whole days are dropped.

CREATE TABLE metric_rollup_minutes (
    at timestamptz NOT NULL,
    count int8 NOT NULL,
    sum float8 NOT NULL,
    min float8 NOT NULL,
    max float8 NOT NULL,
    last float8 NOT NULL,
    series_id int4 NOT NULL,
    host_id int2 NOT NULL,
    PRIMARY KEY (host_id, series_id, at)
) PARTITION BY RANGE (at);

CREATE TABLE metric_rollup_hours (
    LIKE metric_rollup_minutes INCLUDING ALL
) PARTITION BY RANGE (at);

CREATE TABLE metric_rollup_marks (
    host_id int2 NOT NULL,
    tier int4 NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (host_id, tier)
);

-- Rolling up reads all series of some minutes; the keys lead with the series.
CREATE INDEX metrics_at ON metrics
    USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

CREATE INDEX metric_rollup_minutes_at ON metric_rollup_minutes
    USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
