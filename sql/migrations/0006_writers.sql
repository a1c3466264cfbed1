-- The last frame applied of each run of each daemon. Frames are applied oldest first, in the
-- transaction that moves this mark, so a frame that comes again (its commit was made, the answer
-- was lost) is recognised by its number and skipped.

CREATE TABLE writers (
    host_id int2 NOT NULL,
    writer int8 NOT NULL,
    last_seq int8 NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host_id, writer)
) WITH (fillfactor = 50);
