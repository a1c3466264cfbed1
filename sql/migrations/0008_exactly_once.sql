-- What has been applied, exactly: frames come out of order, and again after a crash in other groups.
--
-- `applied` holds the numbers of a run's frames. A frame is in it if and only if the transaction that
-- wrote its rows was committed, because both are one transaction; the row's lock makes a second
-- attempt wait for the outcome of a first. Neighbouring numbers are one range, so the value is as
-- long as there are gaps. Until now frames were applied in order, up to last_seq.

ALTER TABLE writers
    ADD COLUMN applied int8multirange NOT NULL DEFAULT '{}';

UPDATE writers
SET applied = int8multirange(int8range(1, last_seq, '[]'))
WHERE last_seq >= 1;

ALTER TABLE writers
    DROP COLUMN last_seq;

-- The ids that events and whole requests came with, so that a second one within 24 hours is left out.
-- `key` is a 128-bit digest of what the id is of (event type, service) and the id; `at` is when its
-- frame was received, by monitord's clock. One key may stand here again, 24 hours later.
CREATE TABLE event_ids (
    at timestamptz NOT NULL,
    key uuid NOT NULL,
    host_id int2 NOT NULL,
    PRIMARY KEY (host_id, key, at)
) PARTITION BY RANGE (at);
