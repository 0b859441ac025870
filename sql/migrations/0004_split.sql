CREATE TABLE store.splits (
    split VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    dataset VARCHAR NOT NULL,
    dataset_hash VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    decision_hash VARCHAR NOT NULL,      -- of every row's decision and of the configuration behind it
    rows_kept BIGINT NOT NULL,
    rows_dropped BIGINT NOT NULL,
    tokens_kept BIGINT NOT NULL,
    manifest_sha256 VARCHAR,             -- set when the version is published
    folder VARCHAR,
    created_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.split_rows (
    split VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,
    decision VARCHAR NOT NULL,           -- keep, drop
    reason VARCHAR NOT NULL,
    rank BIGINT,                         -- from 1, best first; null where the row was not ranked
    value DOUBLE
);
