-- What choosing rows by similarity needs, and what it decided. Rows scored by an earlier release have no text state; the scoring
-- version has changed, so that they are scored again.
ALTER TABLE store.packed ADD COLUMN text_state TINYINT[];   -- times text_unit; the position-weighted mean state of the whole text
ALTER TABLE store.packed ADD COLUMN text_unit FLOAT;

ALTER TABLE store.split_rows ADD COLUMN matched_to VARCHAR;    -- the trusted row that took the row, or the nearest one
ALTER TABLE store.split_rows ADD COLUMN round INTEGER;         -- in which round, from 1; null where no trusted row took it
ALTER TABLE store.split_rows ADD COLUMN similarity FLOAT;      -- of the row and matched_to, at most 1

CREATE TABLE store.coverage (            -- what a version of a split has for each trusted row
    split VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    sample_id VARCHAR NOT NULL,          -- the trusted row
    nearest VARCHAR,                     -- the nearest row of the dataset that could be kept
    similarity FLOAT,
    twin VARCHAR,                        -- the nearest other trusted row
    twin_similarity FLOAT,
    floor FLOAT NOT NULL                 -- similarity from which on a trusted row takes a row
);
