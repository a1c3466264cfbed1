-- One row is one kind of exception, by the fingerprint that requests, logs and spans carry as
-- error_id: its type and the functions of the application it passed, without line numbers.
--
-- One exception often shows in a request, in a log record and in a span; each is counted apart.
-- `message`, `error` and the sample are those of the newest. It has regressed when it came back
-- after days of silence. error_id 0 stands for all groups above the cap.
CREATE TABLE error_groups (
    host_id int2 NOT NULL,
    error_id int8 NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    regressed_at timestamptz,
    requests int8 NOT NULL,
    logs int8 NOT NULL,
    spans int8 NOT NULL,
    service text NOT NULL,
    type text NOT NULL,
    message text NOT NULL,
    error jsonb NOT NULL,
    trace_id uuid,
    PRIMARY KEY (host_id, error_id)
) WITH (fillfactor = 70);

-- The one that was silent longest makes room for a new one.
CREATE INDEX error_groups_last_seen_at ON error_groups (host_id, last_seen_at);

-- Where it happens: requests by endpoint.
CREATE TABLE error_group_endpoints (
    host_id int2 NOT NULL,
    error_id int8 NOT NULL,
    endpoint_id int4 NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    requests int8 NOT NULL,
    PRIMARY KEY (host_id, error_id, endpoint_id)
) WITH (fillfactor = 70);
