-- Rows that must not be known any more: what is left is that there was one, and why it is gone.
CREATE TABLE store.forgotten (
    sample_id VARCHAR PRIMARY KEY,
    reason VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    forgotten_at TIMESTAMPTZ NOT NULL
);
