-- A summary of 32 pages took 4.8 KB, so one of them filled a page of the index and half of it was
-- wasted. One of 16 pages takes 2.4 KB: a look-up reads two thirds of the index, and half of the
-- rows where it says "perhaps". 1,900 is the number of rows in 16 pages.
DROP INDEX requests_trace_id;

CREATE INDEX requests_trace_id ON requests
    USING brin (
        trace_id uuid_bloom_ops (n_distinct_per_range = 1900, false_positive_rate = 0.0045)
    )
    WITH (pages_per_range = 16, autosummarize = on);
