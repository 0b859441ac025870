-- What came in. Schema `store` is how things are kept; what users read are the views in schema `main`.
-- Bulk tables have no keys (a text key costs two to three times the load time); the statements that write them keep
-- them unique, and tests check it.
CREATE TABLE store.runs (
    run_id VARCHAR PRIMARY KEY,
    flow VARCHAR NOT NULL,
    state VARCHAR NOT NULL,              -- running, completed, refused, failed, interrupted
    config JSON NOT NULL,
    version VARCHAR NOT NULL,
    prefect_flow_run_id VARCHAR,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    rows_scored BIGINT NOT NULL DEFAULT 0,
    tokens_scored BIGINT NOT NULL DEFAULT 0,
    notes JSON NOT NULL DEFAULT '{}'     -- what the run found out on its way: device, dtype, rank, residual ...
);

CREATE TABLE store.datasets (
    dataset VARCHAR PRIMARY KEY,
    role VARCHAR NOT NULL,               -- dataset, reference
    source VARCHAR NOT NULL,             -- the path as it was given
    layout VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,               -- instruction, vqa
    rows BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    content_hash VARCHAR NOT NULL,       -- of the sorted sample_ids
    files JSON NOT NULL,                 -- [{path, sha256, bytes}]
    source_hash VARCHAR NOT NULL,        -- of the files and of how they were read: equal means nothing to ingest
    ingested_at TIMESTAMPTZ NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.rows (
    dataset VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,             -- all turns before the answer
    answer VARCHAR NOT NULL,             -- the last assistant turn
    messages VARCHAR NOT NULL,           -- canonical JSON
    tools VARCHAR,                       -- canonical JSON, where the row defines tools
    images STRUCT(path VARCHAR, sha256 VARCHAR, width INTEGER, height INTEGER)[],
    metadata VARCHAR NOT NULL,           -- JSON: the columns that the layout does not use
    record VARCHAR NOT NULL,             -- JSON: the row as it came in, which is how it is published
    source_file VARCHAR NOT NULL,
    source_line BIGINT NOT NULL,         -- from 1; in a JSON array, Parquet or Arrow file the position of the row
    retired_at TIMESTAMPTZ               -- set when the dataset's files no longer hold the row
);

CREATE TABLE store.duplicates (          -- further places of a row that is already there
    dataset VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    source_file VARCHAR NOT NULL,
    source_line BIGINT NOT NULL
);

CREATE TABLE store.rejects (
    dataset VARCHAR NOT NULL,
    source_file VARCHAR NOT NULL,
    source_line BIGINT,
    reason VARCHAR NOT NULL,
    raw VARCHAR NOT NULL                 -- the beginning of the line
);
