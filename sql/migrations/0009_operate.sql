-- What operating needs: how much a version flags, and what a person said of publishing it.
ALTER TABLE store.splits ADD COLUMN rows_flagged BIGINT;   -- with a warning or worse; null for versions decided before this was kept

CREATE TABLE store.approvals (           -- the newest of a version counts, the older ones stay
    split VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    decision VARCHAR NOT NULL,           -- asked, approved, rejected
    who VARCHAR NOT NULL,
    note VARCHAR NOT NULL,
    decided_at TIMESTAMPTZ NOT NULL,
    deadline TIMESTAMPTZ                 -- of asked: without an answer until then, it is a no
);
