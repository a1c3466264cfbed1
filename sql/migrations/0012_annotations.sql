-- What people did or noticed: marks on every chart. Few, so not partitioned. (writer, seq, index) is
-- the identity of its event, as a log line has one.
CREATE TABLE annotations (
    at timestamptz NOT NULL,
    writer int8 NOT NULL,
    seq int8 NOT NULL,
    index int4 NOT NULL,
    host_id int2 NOT NULL,
    service text NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    text text NOT NULL,
    attributes jsonb NOT NULL,
    PRIMARY KEY (host_id, at, writer, seq, index)
);
