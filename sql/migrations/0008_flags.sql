-- Planted defects, what was learnt from them, and what people say of rows.
CREATE TABLE store.canaries (            -- copies of trusted rows with a known defect: scored, never in a split or a reference
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,
    sample_id VARCHAR NOT NULL,
    twin VARCHAR NOT NULL,               -- the sample_id of the trusted row that was copied
    canary VARCHAR NOT NULL,             -- the kind of defect
    kind VARCHAR NOT NULL,
    prompt VARCHAR NOT NULL,
    answer VARCHAR NOT NULL,
    messages VARCHAR NOT NULL,
    tools VARCHAR,
    images STRUCT(name VARCHAR, path VARCHAR, sha256 VARCHAR, width INTEGER, height INTEGER, mode VARCHAR, size BIGINT)[],
    is_blank BOOLEAN NOT NULL,           -- grey pictures stand for the row's
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.suspicions (          -- of rows, trusted rows and canaries, in the light of one another
    sample_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,            -- the dataset that was judged
    role VARCHAR NOT NULL,               -- dataset, reference, canary
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    reference_hash VARCHAR NOT NULL,
    suspicion DOUBLE NOT NULL,           -- natural logarithm of odds, up to a constant
    p_value DOUBLE,                      -- of rows of the dataset only, as what follows
    q_value DOUBLE,
    looks_like VARCHAR,                  -- the kind of canary that it is most like
    signals VARCHAR[],                   -- those that weigh most, at most two
    label_probe DOUBLE,                  -- null where answers do not repeat
    agreement DOUBLE,
    run_id VARCHAR NOT NULL
);

DROP TABLE store.detectability;
CREATE TABLE store.detectability (
    dataset VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    canary VARCHAR NOT NULL,
    auc DOUBLE NOT NULL,
    auc_low DOUBLE NOT NULL,
    auc_high DOUBLE NOT NULL,
    canaries BIGINT NOT NULL,
    best_signal VARCHAR NOT NULL,        -- the best single signal, and its AUC either way round
    best_signal_auc DOUBLE NOT NULL,
    run_id VARCHAR NOT NULL
);

CREATE TABLE store.calibration (         -- stated against measured error, on trusted rows and canaries that were held out
    dataset VARCHAR NOT NULL,
    model_key VARCHAR NOT NULL,
    reference VARCHAR NOT NULL,
    stated DOUBLE NOT NULL,              -- the rate that is asked for
    measured DOUBLE NOT NULL,            -- mean share of trusted rows among the flagged
    standard_error DOUBLE NOT NULL,
    recall DOUBLE NOT NULL,              -- mean share of the canaries that are flagged
    clean_flagged DOUBLE NOT NULL,       -- mean share of trusted rows that are flagged where no canary is among them
    run_id VARCHAR NOT NULL
);

ALTER TABLE store.flags ADD COLUMN signals VARCHAR[];

CREATE TABLE store.verdicts (            -- what people decided; the newest of a row counts, the older ones stay
    sample_id VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,            -- keep, drop, relabel; undo takes the one before back
    answer VARCHAR,                      -- the right answer, where the verdict is relabel
    record VARCHAR,                      -- JSON: the row as it came in, with that answer
    why VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    decided_at TIMESTAMPTZ NOT NULL
);

ALTER TABLE store.split_rows ADD COLUMN record VARCHAR;  -- JSON, where a verdict gave the row another answer
ALTER TABLE store.scores DROP COLUMN label_probe;       -- it depends on the other rows, so it stands with the suspicion
