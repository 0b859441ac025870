-- What was found out about the method on these data, and how methods compare; nothing of it decides about a row.
CREATE TABLE store.evaluations (
    unit VARCHAR NOT NULL,               -- hash of all that a group of these rows hangs on; it is kept whole or not at all
    evaluation VARCHAR NOT NULL,         -- influence, planted, truth, approximation, finetune, removal, datamodel
    dataset VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    setting VARCHAR NOT NULL,            -- what was varied beside the method: a kind of defect, a share, a version of a split
    method VARCHAR NOT NULL,
    seed INTEGER,                        -- null: of everything at once
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    run_id VARCHAR NOT NULL,
    made_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE store.comparisons (
    unit VARCHAR NOT NULL,
    evaluation VARCHAR NOT NULL,
    dataset VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    setting VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    against VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    pairs INTEGER NOT NULL,              -- seeds or queries that both were measured on
    difference DOUBLE NOT NULL,          -- mean of method minus against
    low DOUBLE NOT NULL,                 -- its 95% interval, by Student's t
    high DOUBLE NOT NULL,
    test VARCHAR NOT NULL,               -- wilcoxon or t, both paired and two-sided
    p DOUBLE NOT NULL,
    p_holm DOUBLE NOT NULL,              -- Holm's correction over all that the method is compared with
    run_id VARCHAR NOT NULL,
    made_at TIMESTAMPTZ NOT NULL
);
