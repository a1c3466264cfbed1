-- Names that many rows share, each kept once and pointed at by a small number.
--
-- Every table of monitord has host_id (the instance that wrote the row) as the first column of its
-- primary key, dictionaries too: one instance's flood of names never fills another's table, two
-- daemons never wait for each other, and the schema can be distributed by host_id as it stands.
--
-- `key` is a 128-bit digest of the whole name. A unique index over the texts themselves would
-- refuse long names (a B-tree row is at most 2.7 KB).

CREATE TABLE hosts (
    host_id int2 NOT NULL PRIMARY KEY,
    instance text NOT NULL UNIQUE,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE endpoints (
    host_id int2 NOT NULL,
    endpoint_id int4 NOT NULL,
    key uuid NOT NULL,
    service text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, endpoint_id),
    UNIQUE (host_id, key)
);

CREATE TABLE loggers (
    host_id int2 NOT NULL,
    logger_id int4 NOT NULL,
    key uuid NOT NULL,
    service text NOT NULL,
    name text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, logger_id),
    UNIQUE (host_id, key)
);

CREATE TABLE series (
    host_id int2 NOT NULL,
    series_id int4 NOT NULL,
    key uuid NOT NULL,
    service text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    unit text NOT NULL,
    attributes jsonb NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, series_id),
    UNIQUE (host_id, key)
);

CREATE INDEX series_by_name ON series (host_id, name);
